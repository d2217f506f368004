//! Numbers that are declared once: what is made of a declaration carries them from and to the caller by name.

/// A number that a limit can hold.
pub trait Limit: Sized {
    /// The limit of this value; None if it cannot be one: a count is whole, a switch is 0 or 1.
    fn from_number(value: f64) -> Option<Self>;
}

impl Limit for f64 {
    fn from_number(value: f64) -> Option<Self> {
        (!value.is_nan()).then_some(value)
    }
}

impl Limit for u64 {
    fn from_number(value: f64) -> Option<Self> {
        (value >= 0.0 && value.fract() == 0.0).then_some(value as u64)
    }
}

impl Limit for usize {
    fn from_number(value: f64) -> Option<Self> {
        u64::from_number(value).and_then(|whole| whole.try_into().ok())
    }
}

impl Limit for bool {
    fn from_number(value: f64) -> Option<Self> {
        [0.0, 1.0].contains(&value).then_some(value == 1.0)
    }
}

/// Declare limits, each with its type and default; `with { part: Kind }` includes those of another declaration.
macro_rules! limits {
    ($(#[$about:meta])* struct $name:ident {
        $($(#[$doc:meta])* $field:ident: $kind:ty = $default:expr,)*
    } $(with { $(#[$part_doc:meta])* $part:ident: $part_kind:ident })?) => {
        $(#[$about])*
        #[derive(Clone, Debug, PartialEq)]
        pub struct $name {
            $($(#[$doc])* pub $field: $kind,)*
            $($(#[$part_doc])* pub $part: $part_kind,)?
        }

        impl Default for $name {
            fn default() -> Self {
                $name { $($field: $default,)* $($part: $part_kind::default())? }
            }
        }

        impl $name {
            /// Set the limit of this name. An error if there is none, or if it cannot have this value.
            pub fn set(&mut self, name: &str, value: f64) -> Result<(), String> {
                match name {
                    $(stringify!($field) => {
                        let limit = $crate::declared::Limit::from_number(value);
                        self.$field = limit.ok_or_else(|| format!("{name} cannot be {value}"))?;
                        return Ok(());
                    })*
                    _ => {}
                }
                $(return self.$part.set(name, value);)?
                #[allow(unreachable_code)] // another declaration is included, which has the last word
                Err(format!("{name} is no limit"))
            }
        }
    };
}

/// Declare numbers that are counted; `beside` them fields of other types, which are carried by hand.
macro_rules! counters {
    ($(#[$about:meta])* struct $name:ident {
        $($(#[$doc:meta])* $field:ident,)*
    } $(beside { $($(#[$other_doc:meta])* $other:ident: $kind:ty,)* })?) => {
        $(#[$about])*
        #[derive(Clone, Debug, Default, PartialEq)]
        pub struct $name {
            $($(#[$doc])* pub $field: u64,)*
            $($($(#[$other_doc])* pub $other: $kind,)*)?
        }

        impl $name {
            /// Each name with its number.
            pub fn listed(&self) -> impl Iterator<Item = (&'static str, u64)> {
                [$((stringify!($field), self.$field)),*].into_iter()
            }
        }
    };
}

pub(crate) use {counters, limits};

#[cfg(test)]
mod tests {
    limits! {
        struct Inner {
            /// A time.
            time: f64 = 0.5,
        }
    }

    limits! {
        struct Outer {
            /// A count.
            count: usize = 3,
            /// A switch.
            switch: bool = false,
        } with {
            /// More.
            inner: Inner
        }
    }

    counters! {
        struct Counted {
            /// The first.
            first,
            /// The second.
            second,
        } beside {
            /// Of another type.
            flag: bool,
        }
    }

    #[test]
    fn a_limit_is_set_by_its_name() {
        let mut limits = Outer::default();
        assert_eq!(
            (limits.set("count", 7.0), limits.set("switch", 1.0), limits.set("time", 0.25)),
            (Ok(()), Ok(()), Ok(()))
        );
        assert_eq!(limits, Outer { count: 7, switch: true, inner: Inner { time: 0.25 } });
    }

    #[test]
    fn what_is_no_limit_or_no_value_of_one_is_refused() {
        let mut limits = Outer::default();
        for (name, value) in [("count", -1.0), ("count", 0.5), ("switch", 2.0), ("time", f64::NAN), ("other", 1.0)] {
            assert!(limits.set(name, value).is_err_and(|message| message.starts_with(name)));
        }
        assert_eq!(limits, Outer::default());
    }

    #[test]
    fn counters_are_listed_in_the_order_of_their_declaration() {
        let counted = Counted { first: 1, second: 2, flag: true };
        assert_eq!(counted.listed().collect::<Vec<_>>(), [("first", 1), ("second", 2)]);
    }
}
