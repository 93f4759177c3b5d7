//! Types that are stored as text: the words for states, and identifiers.

/// Lets a type that has `Display` and serde's form of the same text be bound to, and read from, a text column.
macro_rules! text_column {
    ($($name:ty),* $(,)?) => {$(
        impl sqlx::Type<sqlx::Sqlite> for $name {
            fn type_info() -> sqlx::sqlite::SqliteTypeInfo {
                <str as sqlx::Type<sqlx::Sqlite>>::type_info()
            }

            fn compatible(ty: &sqlx::sqlite::SqliteTypeInfo) -> bool {
                <str as sqlx::Type<sqlx::Sqlite>>::compatible(ty)
            }
        }

        impl<'q> sqlx::Encode<'q, sqlx::Sqlite> for $name {
            fn encode_by_ref(
                &self,
                buffer: &mut <sqlx::Sqlite as sqlx::Database>::ArgumentBuffer,
            ) -> Result<sqlx::encode::IsNull, sqlx::error::BoxDynError> {
                <String as sqlx::Encode<'q, sqlx::Sqlite>>::encode(self.to_string(), buffer)
            }
        }

        impl<'r> sqlx::Decode<'r, sqlx::Sqlite> for $name {
            fn decode(value: sqlx::sqlite::SqliteValueRef<'r>) -> Result<Self, sqlx::error::BoxDynError> {
                use serde::de::IntoDeserializer;
                let text = <&str as sqlx::Decode<'r, sqlx::Sqlite>>::decode(value)?;
                let text: serde::de::value::StrDeserializer<'_, serde::de::value::Error> = text.into_deserializer();
                Ok(<Self as serde::Deserialize<'_>>::deserialize(text)?)
            }
        }
    )*};
}

/// An enumeration that is the same word in the store, in JSON and on the screen.
macro_rules! words {
    ($(#[$meta:meta])* $name:ident { $($(#[$doc:meta])* $variant:ident = $word:literal),* $(,)? }) => {
        $(#[$meta])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
        pub enum $name {
            $($(#[$doc])* #[serde(rename = $word)] $variant,)*
        }

        impl $name {
            /// The word for it.
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$variant => $word,)*
                }
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                // `pad`, so that tables can align it.
                f.pad(self.as_str())
            }
        }

        $crate::store::text::text_column!($name);
    };
}

pub(super) use {text_column, words};

use crate::id::{AuditId, FleetId, Mark, NodeId, RevisionId, SecretId, WorkflowId, WorkspaceId};

text_column!(WorkspaceId, NodeId, WorkflowId, RevisionId, SecretId, AuditId, FleetId, Mark);
