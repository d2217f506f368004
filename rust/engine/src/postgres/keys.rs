//! The files of TLS: certificates, private keys, lists of what was revoked.

use std::io::Read;
use std::path::{Path, PathBuf};

use pkcs8::der::SecretDocument;
use pkcs8::der::pem::PemLabel;
use pkcs8::{EncryptedPrivateKeyInfoRef, der::Decode};
use rustls::RootCertStore;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, CertificateRevocationListDer, PrivateKeyDer, PrivatePkcs8KeyDer};

use super::config::Ssl;
use crate::link::ConnectError;

fn unusable(path: impl AsRef<Path>, reason: impl std::fmt::Display) -> ConnectError {
    ConnectError::permanent(format!("TLS: {} cannot be used: {reason}", path.as_ref().display()))
}

/// The certificates in a file.
pub fn certificates(path: &str) -> Result<Vec<CertificateDer<'static>>, ConnectError> {
    let found = CertificateDer::pem_file_iter(path).map_err(|error| unusable(path, error))?;
    found.collect::<Result<_, _>>().map_err(|error| unusable(path, error))
}

/// The authorities in a file, or (`system`) those that this machine trusts.
pub fn roots(path: &str) -> Result<RootCertStore, ConnectError> {
    let mut roots = RootCertStore::empty();
    let found = if path == "system" { rustls_native_certs::load_native_certs().certs } else { certificates(path)? };
    roots.add_parsable_certificates(found);
    if roots.is_empty() {
        return Err(ConnectError::permanent(format!("TLS: there is no root certificate in {path}")));
    }
    Ok(roots)
}

/// The private key in a file; a password that it does not need is no matter.
pub fn private_key(path: &str, password: Option<&str>) -> Result<PrivateKeyDer<'static>, ConnectError> {
    let text = read_secret(path).map_err(|error| unusable(path, error))?;
    if text.contains("Proc-Type: 4,ENCRYPTED") {
        return Err(unusable(path, "it is encrypted in a format of its own; `openssl pkcs8 -topk8` makes it PKCS #8"));
    }
    let Some(encrypted) = text.find(&format!("-----BEGIN {}-----", EncryptedPrivateKeyInfoRef::PEM_LABEL)) else {
        return PrivateKeyDer::from_pem_slice(text.as_bytes()).map_err(|error| unusable(path, error));
    };
    let password = password.ok_or_else(|| unusable(path, "it is encrypted, and there is no sslpassword"))?;
    let (_, key) = SecretDocument::from_pem(text[encrypted..].trim_end()).map_err(|error| unusable(path, error))?;
    let key = EncryptedPrivateKeyInfoRef::from_der(key.as_bytes()).map_err(|error| unusable(path, error))?;
    let key = key.decrypt(password).map_err(|error| undecryptable(path, error))?;
    Ok(PrivatePkcs8KeyDer::from(key.as_bytes().to_vec()).into())
}

/// The text of a file that no other user can read.
fn read_secret(path: &str) -> std::io::Result<String> {
    let mut file = std::fs::File::open(path)?;
    let about = file.metadata()?;
    if !about.is_file() {
        return Err(std::io::Error::other("it is not a regular file"));
    }
    check_access(&about)?;
    let mut text = String::new();
    file.read_to_string(&mut text)?;
    Ok(text)
}

/// By libpq's rule: root's own may be read by its group.
#[cfg(unix)]
fn check_access(about: &std::fs::Metadata) -> std::io::Result<()> {
    use std::os::unix::fs::MetadataExt;

    let forbidden = if about.uid() == 0 { 0o037 } else { 0o077 };
    if about.mode() & forbidden != 0 {
        return Err(std::io::Error::other(
            "it has group or world access; it must have permissions u=rw (0600) or less if owned by the current user, \
             or permissions u=rw,g=r (0640) or less if owned by root",
        ));
    }
    Ok(())
}

/// Windows has no such permissions, and libpq checks nothing there.
#[cfg(windows)]
fn check_access(_: &std::fs::Metadata) -> std::io::Result<()> {
    Ok(())
}

fn undecryptable(path: &str, error: pkcs8::Error) -> ConnectError {
    unusable(path, format_args!("sslpassword does not decrypt it: {error}"))
}

/// What was revoked; None if that is not asked for. There must be a list then: without one, nothing would be checked.
pub fn revoked(ssl: &Ssl) -> Result<Option<Vec<CertificateRevocationListDer<'static>>>, ConnectError> {
    let mut files: Vec<PathBuf> = ssl.crl.iter().map(PathBuf::from).collect();
    if let Some(folder) = &ssl.crldir {
        for entry in std::fs::read_dir(folder).map_err(|error| unusable(folder, error))? {
            files.push(entry.map_err(|error| unusable(folder, error))?.path());
        }
        files.retain(|path| !path.is_dir());
    }
    let mut lists = Vec::new();
    for path in &files {
        let found = CertificateRevocationListDer::pem_file_iter(path).map_err(|error| unusable(path, error))?;
        for list in found {
            lists.push(list.map_err(|error| unusable(path, error))?);
        }
    }
    match ssl.crl.as_ref().or(ssl.crldir.as_ref()) {
        None => Ok(None),
        Some(place) if lists.is_empty() => Err(unusable(place, "there is no certificate revocation list")),
        Some(_) => Ok(Some(lists)),
    }
}
