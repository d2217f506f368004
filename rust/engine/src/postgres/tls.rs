//! TLS as `sslmode` asks for it, by rustls.
//!
//! - `require` without a root certificate encrypts and checks nothing, as libpq does; with one it is `verify-ca`.
//! - `verify-ca` accepts a certificate of a known authority whatever its name, `verify-full` only for the host's name.
//! - A server may use the very certificate that is trusted, as one that signed its own does; rustls takes that for an
//!   authority's, which a server must not use.

use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{WebPkiServerVerifier, verify_server_name};
use rustls::crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{CertificateError, ClientConfig, DigitallySignedStruct, Error, SignatureScheme};
use tokio_rustls::TlsConnector;

use super::config::{Ssl, SslMode};
use super::keys;
use super::stream::Stream;
use crate::link::ConnectError;

/// Encrypt a stream; `host` is the name that the certificate must have, and that is sent (SNI).
pub async fn handshake(stream: Stream, ssl: &Ssl, host: &str) -> Result<Stream, ConnectError> {
    let config = client_config(ssl)?;
    let name = match ServerName::try_from(host.to_owned()) {
        Ok(name) => name,
        Err(_) if ssl.mode == SslMode::VerifyFull => {
            return Err(ConnectError::permanent(format!("{host:?} is no name that a certificate could have")));
        }
        Err(_) => ServerName::try_from("invalid").expect("bug: a constant name"),
    };
    match TlsConnector::from(Arc::new(config)).connect(name, stream).await {
        Ok(stream) => Ok(Stream::Tls(Box::new(stream))),
        Err(error) => Err(explained(&error)),
    }
}

fn explained(error: &std::io::Error) -> ConnectError {
    let wrong = error.get_ref().and_then(|inner| inner.downcast_ref::<Error>());
    let message = format!("TLS: {error}");
    match wrong {
        Some(Error::InvalidCertificate(_)) => ConnectError::permanent(message),
        _ => ConnectError::new(message),
    }
}

fn client_config(ssl: &Ssl) -> Result<ClientConfig, ConnectError> {
    let provider = Arc::new(ring::default_provider());
    let versions: &[_] = match (ssl.only_tls12, ssl.only_tls13) {
        (true, _) => &[&rustls::version::TLS12],
        (_, true) => &[&rustls::version::TLS13],
        _ => &[&rustls::version::TLS13, &rustls::version::TLS12],
    };
    let builder = ClientConfig::builder_with_provider(provider.clone())
        .with_protocol_versions(versions)
        .map_err(permanent)?
        .dangerous()
        .with_custom_certificate_verifier(verifier(ssl, provider)?);
    let mut config = match (&ssl.cert, &ssl.key) {
        (Some(cert), Some(key)) => {
            let key = keys::private_key(key, ssl.password.as_deref())?;
            builder.with_client_auth_cert(keys::certificates(cert)?, key).map_err(permanent)?
        }
        _ => builder.with_no_client_auth(),
    };
    config.enable_sni = ssl.sni;
    config.alpn_protocols = vec![b"postgresql".to_vec()];
    Ok(config)
}

fn permanent(error: impl std::fmt::Display) -> ConnectError {
    ConnectError::permanent(format!("TLS: {error}"))
}

fn verifier(ssl: &Ssl, provider: Arc<CryptoProvider>) -> Result<Arc<dyn ServerCertVerifier>, ConnectError> {
    let Some(rootcert) = &ssl.rootcert else {
        if ssl.mode >= SslMode::VerifyCa {
            return Err(ConnectError::permanent(
                "TLS: a root certificate is needed to verify the server; set sslrootcert, \"system\" for this machine's",
            ));
        }
        return Ok(Arc::new(Verifier { known: None, trusted: Vec::new(), names: false, provider }));
    };
    let roots = keys::roots(rootcert)?.into();
    let mut builder = WebPkiServerVerifier::builder_with_provider(roots, provider.clone());
    if let Some(lists) = keys::revoked(ssl)? {
        builder = builder.with_crls(lists).enforce_revocation_expiration();
    }
    let known = builder.build().map_err(permanent)?;
    let names = ssl.mode == SslMode::VerifyFull || rootcert == "system";
    let trusted = if rootcert == "system" { Vec::new() } else { keys::certificates(rootcert)? };
    Ok(Arc::new(Verifier { known: Some(known), trusted, names, provider }))
}

/// Accepts a certificate of a known authority, or of those that are trusted themselves, whatever its name unless
/// `names` are looked at; any, if no authority is known. The server must prove in every case that it is its own.
#[derive(Debug)]
struct Verifier {
    known: Option<Arc<WebPkiServerVerifier>>,
    trusted: Vec<CertificateDer<'static>>,
    names: bool,
    provider: Arc<CryptoProvider>,
}

/// Whether it is right but for its being an authority's; that is looked at after the time in which it is valid.
fn is_an_authoritys(error: &Error) -> bool {
    matches!(error, Error::InvalidCertificate(CertificateError::Other(why)) if why.to_string() == "CaUsedAsEndEntity")
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        certificate: &CertificateDer<'_>,
        between: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let Some(known) = &self.known else { return Ok(ServerCertVerified::assertion()) };
        match known.verify_server_cert(certificate, between, name, ocsp, now) {
            // The name is looked at last: the authority is right.
            Err(Error::InvalidCertificate(
                CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
            )) if !self.names => Ok(ServerCertVerified::assertion()),
            Err(error) if is_an_authoritys(&error) && self.trusted.contains(certificate) => {
                if self.names {
                    verify_server_name(&ParsedCertificate::try_from(certificate)?, name)?;
                }
                Ok(ServerCertVerified::assertion())
            }
            other => other,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, certificate, signed, &self.provider.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, certificate, signed, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

/// The data for `tls-server-end-point` (RFC 5929): the hash of the server's certificate, by the algorithm of its
/// signature; None where that is not defined (Ed25519) or not known.
pub fn end_point(stream: &Stream) -> Option<Vec<u8>> {
    let Stream::Tls(stream) = stream else { return None };
    let certificate = stream.get_ref().1.peer_certificates()?.first()?;
    let algorithm = hash_of(signature_algorithm(certificate)?)?;
    Some(::ring::digest::digest(algorithm, certificate).as_ref().to_vec())
}

/// The hash that belongs to a signature algorithm, by its object identifier; MD5 and SHA-1 count as SHA-256.
fn hash_of(oid: &[u8]) -> Option<&'static ::ring::digest::Algorithm> {
    use ::ring::digest::{SHA256, SHA384, SHA512};
    const RSA: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01];
    const ECDSA: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03];
    let (family, last) = oid.split_at_checked(oid.len().checked_sub(1)?)?;
    match (family, last[0]) {
        (RSA, 4 | 5 | 11) | (ECDSA, 2) => Some(&SHA256),
        (RSA, 12) | (ECDSA, 3) => Some(&SHA384),
        (RSA, 13) | (ECDSA, 4) => Some(&SHA512),
        _ => None,
    }
}

/// `Certificate ::= SEQUENCE { tbsCertificate, signatureAlgorithm SEQUENCE { OBJECT IDENTIFIER .. }, signature }`
fn signature_algorithm(certificate: &[u8]) -> Option<&[u8]> {
    let (inside, _) = element(certificate, 0x30)?;
    let (_, rest) = element(inside, 0x30)?;
    let (algorithm, _) = element(rest, 0x30)?;
    element(algorithm, 0x06).map(|(oid, _)| oid)
}

/// The content of the DER element at the beginning, and what follows it.
fn element(der: &[u8], tag: u8) -> Option<(&[u8], &[u8])> {
    let (head, rest) = der.split_first_chunk::<2>()?;
    if head[0] != tag {
        return None;
    }
    if head[1] < 0x80 {
        return rest.split_at_checked(usize::from(head[1]));
    }
    let (length, rest) = rest.split_at_checked(usize::from(head[1] & 0x7f))?;
    if length.len() > 4 {
        return None;
    }
    let length = length.iter().fold(0usize, |sum, byte| (sum << 8) | usize::from(*byte));
    rest.split_at_checked(length)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn der_lengths_are_checked() {
        assert_eq!(element(&[0x30, 1, 7, 9], 0x30), Some((&[7u8][..], &[9u8][..])));
        assert_eq!(element(&[0x30, 0x81, 1, 7], 0x30), Some((&[7u8][..], &[][..])));
        for broken in [&[][..], &[0x30], &[0x30, 2, 7], &[0x30, 0x84, 0xff, 0xff, 0xff, 0xff], &[0x30, 0x8f], &[6, 0]] {
            assert_eq!(element(broken, 0x30), None);
        }
    }
}
