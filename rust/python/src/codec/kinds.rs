//! The built-in types: how each travels, and what its arrays are. Tests hold this against `db_pool_rs/types`.

use db_pool_engine::link::{Column, Described};

/// How values of a type are read and written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)] // the names are PostgreSQL's
pub enum Kind {
    Bool,
    Bytea,
    Int2,
    Int4,
    Int8,
    Oid,
    Float4,
    Float8,
    Numeric,
    /// text, varchar, bpchar, name.
    Str,
    Date,
    Time,
    Timetz,
    Timestamp,
    Timestamptz,
    Interval,
    Uuid,
    Json,
    Jsonb,
    Inet,
    Cidr,
    /// A range with bounds of this type.
    Range(Bound),
    /// A list of such.
    Multirange(Bound),
    /// A record without a type of its own, in binary; what comes in text is read by psycopg's loaders.
    Composite,
    /// Sent in binary, which is the text itself, but received in text: "char", unknown.
    Literal,
    /// Text both ways; also types that are not built in.
    Other,
}

impl Kind {
    /// Whether a value is one that refers to no others.
    pub fn is_flat(self) -> bool {
        use Kind::*;
        !matches!(self, Json | Jsonb | Inet | Cidr | Range(_) | Multirange(_) | Composite)
    }
}

/// What the bounds of a range are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)] // the names are PostgreSQL's
pub enum Bound {
    Int4,
    Int8,
    Numeric,
    Date,
    Timestamp,
    Timestamptz,
}

impl Bound {
    /// How one of them is read.
    pub fn kind(self) -> Kind {
        match self {
            Bound::Int4 => Kind::Int4,
            Bound::Int8 => Kind::Int8,
            Bound::Numeric => Kind::Numeric,
            Bound::Date => Kind::Date,
            Bound::Timestamp => Kind::Timestamp,
            Bound::Timestamptz => Kind::Timestamptz,
        }
    }
}

/// Type, its array (0: it has none), kind, what stands between the elements of its array in text.
#[rustfmt::skip]
// begin generated: built-in types (from db_pool_rs/_data/types.txt, by db_pool_rs.tools.generate_interfaces)
const TYPES: &[(u32, u32, Kind, u8)] = &[
    (16, 1000, Kind::Bool, b','), // bool
    (17, 1001, Kind::Bytea, b','), // bytea
    (18, 1002, Kind::Literal, b','), // "char"
    (19, 1003, Kind::Str, b','), // name
    (20, 1016, Kind::Int8, b','), // int8
    (21, 1005, Kind::Int2, b','), // int2
    (22, 1006, Kind::Other, b','), // int2vector
    (23, 1007, Kind::Int4, b','), // int4
    (24, 1008, Kind::Other, b','), // regproc
    (25, 1009, Kind::Str, b','), // text
    (26, 1028, Kind::Oid, b','), // oid
    (27, 1010, Kind::Other, b','), // tid
    (28, 1011, Kind::Other, b','), // xid
    (29, 1012, Kind::Other, b','), // cid
    (30, 1013, Kind::Other, b','), // oidvector
    (114, 199, Kind::Json, b','), // json
    (142, 143, Kind::Other, b','), // xml
    (600, 1017, Kind::Other, b','), // point
    (601, 1018, Kind::Other, b','), // lseg
    (602, 1019, Kind::Other, b','), // path
    (603, 1020, Kind::Other, b';'), // box
    (604, 1027, Kind::Other, b','), // polygon
    (628, 629, Kind::Other, b','), // line
    (650, 651, Kind::Cidr, b','), // cidr
    (700, 1021, Kind::Float4, b','), // float4
    (701, 1022, Kind::Float8, b','), // float8
    (705, 0, Kind::Literal, b','), // unknown
    (718, 719, Kind::Other, b','), // circle
    (774, 775, Kind::Other, b','), // macaddr8
    (790, 791, Kind::Other, b','), // money
    (829, 1040, Kind::Other, b','), // macaddr
    (869, 1041, Kind::Inet, b','), // inet
    (1033, 1034, Kind::Other, b','), // aclitem
    (1042, 1014, Kind::Str, b','), // bpchar
    (1043, 1015, Kind::Str, b','), // varchar
    (1082, 1182, Kind::Date, b','), // date
    (1083, 1183, Kind::Time, b','), // time
    (1114, 1115, Kind::Timestamp, b','), // timestamp
    (1184, 1185, Kind::Timestamptz, b','), // timestamptz
    (1186, 1187, Kind::Interval, b','), // interval
    (1266, 1270, Kind::Timetz, b','), // timetz
    (1560, 1561, Kind::Other, b','), // bit
    (1562, 1563, Kind::Other, b','), // varbit
    (1700, 1231, Kind::Numeric, b','), // numeric
    (1790, 2201, Kind::Other, b','), // refcursor
    (2202, 2207, Kind::Other, b','), // regprocedure
    (2203, 2208, Kind::Other, b','), // regoper
    (2204, 2209, Kind::Other, b','), // regoperator
    (2205, 2210, Kind::Other, b','), // regclass
    (2206, 2211, Kind::Other, b','), // regtype
    (2249, 2287, Kind::Composite, b','), // record
    (2278, 0, Kind::Other, b','), // void
    (2950, 2951, Kind::Uuid, b','), // uuid
    (2970, 2949, Kind::Other, b','), // txid_snapshot
    (3220, 3221, Kind::Other, b','), // pg_lsn
    (3614, 3643, Kind::Other, b','), // tsvector
    (3615, 3645, Kind::Other, b','), // tsquery
    (3642, 3644, Kind::Other, b','), // gtsvector
    (3734, 3735, Kind::Other, b','), // regconfig
    (3769, 3770, Kind::Other, b','), // regdictionary
    (3802, 3807, Kind::Jsonb, b','), // jsonb
    (3904, 3905, Kind::Range(Bound::Int4), b','), // int4range
    (3906, 3907, Kind::Range(Bound::Numeric), b','), // numrange
    (3908, 3909, Kind::Range(Bound::Timestamp), b','), // tsrange
    (3910, 3911, Kind::Range(Bound::Timestamptz), b','), // tstzrange
    (3912, 3913, Kind::Range(Bound::Date), b','), // daterange
    (3926, 3927, Kind::Range(Bound::Int8), b','), // int8range
    (4072, 4073, Kind::Other, b','), // jsonpath
    (4089, 4090, Kind::Other, b','), // regnamespace
    (4096, 4097, Kind::Other, b','), // regrole
    (4191, 4192, Kind::Other, b','), // regcollation
    (4451, 6150, Kind::Multirange(Bound::Int4), b','), // int4multirange
    (4532, 6151, Kind::Multirange(Bound::Numeric), b','), // nummultirange
    (4533, 6152, Kind::Multirange(Bound::Timestamp), b','), // tsmultirange
    (4534, 6153, Kind::Multirange(Bound::Timestamptz), b','), // tstzmultirange
    (4535, 6155, Kind::Multirange(Bound::Date), b','), // datemultirange
    (4536, 6157, Kind::Multirange(Bound::Int8), b','), // int8multirange
    (5038, 5039, Kind::Other, b','), // pg_snapshot
    (5069, 271, Kind::Other, b','), // xid8
];
// end generated: built-in types

/// What a column or a parameter is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// One value.
    Single(Kind),
    /// An array of elements of this kind and type; in text, `separator` stands between them.
    Array {
        /// Of its elements.
        kind: Kind,
        /// Of its elements; 0 where they are text.
        element: u32,
        /// `,` or `;`.
        separator: u8,
    },
}

/// What values of this type are.
pub fn form(oid: u32) -> Form {
    for &(own, array, kind, separator) in TYPES {
        if own == oid {
            return Form::Single(kind);
        }
        if array == oid && oid != 0 {
            let element = if kind == Kind::Other { 0 } else { own };
            return Form::Array { kind, element, separator };
        }
    }
    Form::Single(Kind::Other)
}

/// The type of records without a type of their own.
pub const RECORD: u32 = 2249;
/// That of arrays of them.
pub const RECORDS: u32 = 2287;

/// Whether a type is not built in, or a codec has it.
pub fn is_foreign(oid: u32, overridden: &[u32]) -> bool {
    !is_built_in(oid) || overridden.contains(&oid)
}

fn is_built_in(oid: u32) -> bool {
    TYPES.iter().any(|&(own, array, ..)| own == oid || (array == oid && oid != 0))
}

impl Form {
    /// What its values are, or its elements.
    pub fn kind(self) -> Kind {
        match self {
            Form::Single(kind) | Form::Array { kind, .. } => kind,
        }
    }

    /// The format in which an argument is sent.
    pub fn sent(self) -> i16 {
        let text = matches!(
            self.kind(),
            Kind::Inet | Kind::Cidr | Kind::Range(_) | Kind::Multirange(_) | Kind::Composite | Kind::Other
        );
        i16::from(!text)
    }

    /// The format in which a column is asked for.
    pub fn received(self) -> i16 {
        i16::from(!matches!(self.kind(), Kind::Literal | Kind::Other))
    }

    /// Whether the session's time zone counts.
    pub fn is_zoned(self) -> bool {
        let zoned = Bound::Timestamptz;
        let kind = self.kind();
        kind == Kind::Timestamptz || kind == Kind::Range(zoned) || kind == Kind::Multirange(zoned)
    }

    /// Whether a value in text depends on the session's styles.
    pub fn is_styled(self) -> bool {
        use Kind::*;
        matches!(self.kind(), Date | Time | Timetz | Timestamp | Timestamptz | Interval | Range(_) | Multirange(_))
    }
}

/// Decide which parameters and columns travel in binary, and which are of types that are not built in, or `overridden`:
/// these travel as text.
pub fn formats(text: &mut Described, overridden: &[u32]) {
    let foreign = |oid: &u32| is_foreign(*oid, overridden);
    let sent = |oid: &u32| if foreign(oid) { 0 } else { form(*oid).sent() };
    let received = |column: &Column| if foreign(&column.oid) { 0 } else { form(column.oid).received() };
    text.param_formats = text.param_oids.iter().map(sent).collect();
    text.foreign = text.param_oids.iter().copied().filter(foreign).collect();
    text.foreign_columns = text.columns.iter().map(|column| column.oid).filter(foreign).collect();
    text.has_records =
        text.columns.iter().any(|column| matches!(column.oid, RECORD | RECORDS) && !foreign(&column.oid));
    text.result_formats = text.columns.iter().map(received).collect();
}
