//! The built-in types: how each travels, and what its arrays are. A test holds this table against `db_pool_rs/types`.

use db_pool_engine::wire::Described;

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
    /// Read by psycopg's loaders; `true` if the session's time zone counts.
    Range(bool),
    /// Read by psycopg's loaders, in text.
    Composite,
    /// pg_snapshot[]: sent as an array, but psycopg does not know it for one, so that it comes as text.
    Opaque,
    /// Sent in binary, which is the text itself, but received in text: "char", unknown.
    Literal,
    /// Text both ways; also types that are not built in.
    Other,
}

/// Type, its array (0: it has none), kind. The rows are those of `db_pool_rs/types/oids.py`.
const TYPES: &[(u32, u32, Kind)] = &[
    (16, 1000, Kind::Bool),
    (17, 1001, Kind::Bytea),
    (18, 1002, Kind::Literal), // "char"
    (19, 1003, Kind::Str),     // name
    (20, 1016, Kind::Int8),
    (21, 1005, Kind::Int2),
    (23, 1007, Kind::Int4),
    (25, 1009, Kind::Str),
    (26, 1028, Kind::Oid),
    (114, 199, Kind::Json),
    (650, 651, Kind::Cidr),
    (700, 1021, Kind::Float4),
    (701, 1022, Kind::Float8),
    (705, 0, Kind::Literal), // unknown
    (869, 1041, Kind::Inet),
    (1042, 1014, Kind::Str), // bpchar
    (1043, 1015, Kind::Str), // varchar
    (1082, 1182, Kind::Date),
    (1083, 1183, Kind::Time),
    (1114, 1115, Kind::Timestamp),
    (1184, 1185, Kind::Timestamptz),
    (1186, 1187, Kind::Interval),
    (1266, 1270, Kind::Timetz),
    (1700, 1231, Kind::Numeric),
    (2249, 2287, Kind::Composite), // record
    (2950, 2951, Kind::Uuid),
    (5039, 0, Kind::Opaque),
    (3802, 3807, Kind::Jsonb),
    (3904, 3905, Kind::Range(false)), // int4range
    (3906, 3907, Kind::Range(false)), // numrange
    (3908, 3909, Kind::Range(false)), // tsrange
    (3910, 3911, Kind::Range(true)),  // tstzrange
    (3912, 3913, Kind::Range(false)), // daterange
    (3926, 3927, Kind::Range(false)), // int8range
    (4451, 6150, Kind::Range(false)), // and their multiranges
    (4532, 6151, Kind::Range(false)),
    (4533, 6152, Kind::Range(false)),
    (4534, 6153, Kind::Range(true)),
    (4535, 6155, Kind::Range(false)),
    (4536, 6157, Kind::Range(false)),
];

/// Arrays of the other built-in types, whose elements come as text.
const TEXT_ARRAYS: &[u32] = &[
    143, 271, 629, 719, 775, 791, 1006, 1008, 1010, 1011, 1012, 1013, 1017, 1018, 1019, 1020, 1027, 1034, 1040, 1561,
    1563, 2201, 2207, 2208, 2209, 2210, 2211, 2949, 3221, 3643, 3644, 3645, 3735, 3770, 4073, 4090, 4097, 4192,
];
/// box[], the one array whose elements are separated by semicolons, since they contain commas.
const BOXES: u32 = 1020;

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
    for &(own, array, kind) in TYPES {
        if own == oid {
            return Form::Single(kind);
        }
        if array == oid && oid != 0 {
            return Form::Array { kind, element: own, separator: b',' };
        }
    }
    if TEXT_ARRAYS.contains(&oid) {
        return Form::Array { kind: Kind::Other, element: 0, separator: if oid == BOXES { b';' } else { b',' } };
    }
    Form::Single(Kind::Other)
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
            Kind::Inet | Kind::Cidr | Kind::Range(_) | Kind::Composite | Kind::Opaque | Kind::Other
        );
        i16::from(!text)
    }

    /// The format in which a column is asked for.
    pub fn received(self) -> i16 {
        i16::from(!matches!(self.kind(), Kind::Composite | Kind::Opaque | Kind::Literal | Kind::Other))
    }

    /// Whether the session's time zone counts.
    pub fn is_zoned(self) -> bool {
        matches!(self.kind(), Kind::Timestamptz | Kind::Range(true))
    }

    /// Whether a value in text depends on the session's styles.
    pub fn is_styled(self) -> bool {
        use Kind::*;
        matches!(self.kind(), Date | Time | Timetz | Timestamp | Timestamptz | Interval | Range(_))
    }
}

/// Decide which parameters and columns travel in binary.
pub fn formats(text: &mut Described) {
    text.param_formats = text.param_oids.iter().map(|oid| form(*oid).sent()).collect();
    text.result_formats = text.columns.iter().map(|column| form(column.oid).received()).collect();
}
