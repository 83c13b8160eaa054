//! Options of a part that comes in several kinds, each named by the key `kind`.

/// Makes the enum of all kinds' options. A table without `kind` is of the kind that there was before there were several.
macro_rules! options {
    ($(#[$about:meta])* $name:ident, before = $before:literal, $($(#[$doc:meta])* $kind:ident($config:ident) = $called:literal,)*) => {
        $(#[$about])*
        #[derive(Debug, Clone, PartialEq, serde::Serialize)]
        #[serde(tag = "kind")]
        pub enum $name { $($(#[$doc])* #[serde(rename = $called)] $kind($config),)* }

        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
                use serde::de::Error as _;
                let mut table = toml::Table::deserialize(deserializer)?;
                let kind = table.remove("kind").unwrap_or_else(|| $before.into());
                match kind.as_str().unwrap_or_default() {
                    $($called => table.try_into().map(Self::$kind).map_err(D::Error::custom),)*
                    other => Err(D::Error::unknown_variant(other, &[$($called),*])),
                }
            }
        }

        impl $name {
            /// One of each kind.
            pub fn kinds() -> Vec<Self> {
                vec![$(Self::$kind(<$config>::default()),)*]
            }
        }
    };
}

pub(super) use options;
