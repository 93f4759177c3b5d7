//! Types that are stored as text: the words for states, and identifiers.

/// Lets a type that has `Display` and serde's form of the same text be bound to, and read from, a text column.
macro_rules! text_column {
    ($($name:ty),* $(,)?) => {$(
        $crate::store::text::text_of!(sqlx::Sqlite, $name);
        $crate::store::text::text_of!(sqlx::Postgres, $name);
    )*};
}

/// One database's half of [`text_column`].
macro_rules! text_of {
    ($database:ty, $name:ty) => {
        impl sqlx::Type<$database> for $name {
            fn type_info() -> <$database as sqlx::Database>::TypeInfo {
                <str as sqlx::Type<$database>>::type_info()
            }

            fn compatible(ty: &<$database as sqlx::Database>::TypeInfo) -> bool {
                <str as sqlx::Type<$database>>::compatible(ty)
            }
        }

        impl<'q> sqlx::Encode<'q, $database> for $name {
            fn encode_by_ref(
                &self,
                buffer: &mut <$database as sqlx::Database>::ArgumentBuffer,
            ) -> Result<sqlx::encode::IsNull, sqlx::error::BoxDynError> {
                <String as sqlx::Encode<'q, $database>>::encode(self.to_string(), buffer)
            }
        }

        impl<'r> sqlx::Decode<'r, $database> for $name {
            fn decode(value: <$database as sqlx::Database>::ValueRef<'r>) -> Result<Self, sqlx::error::BoxDynError> {
                use serde::de::IntoDeserializer;
                let text = <&str as sqlx::Decode<'r, $database>>::decode(value)?;
                let text: serde::de::value::StrDeserializer<'_, serde::de::value::Error> = text.into_deserializer();
                Ok(<Self as serde::Deserialize<'_>>::deserialize(text)?)
            }
        }
    };
}

/// Lets an id be bound to, and read from, its column: text in SQLite, `uuid` in PostgreSQL.
macro_rules! id_column {
    ($($name:ty),* $(,)?) => {$(
        text_of!(sqlx::Sqlite, $name);

        impl sqlx::Type<sqlx::Postgres> for $name {
            fn type_info() -> sqlx::postgres::PgTypeInfo {
                <Uuid as sqlx::Type<sqlx::Postgres>>::type_info()
            }
        }

        impl<'q> sqlx::Encode<'q, sqlx::Postgres> for $name {
            fn encode_by_ref(
                &self,
                buffer: &mut <sqlx::Postgres as sqlx::Database>::ArgumentBuffer,
            ) -> Result<sqlx::encode::IsNull, sqlx::error::BoxDynError> {
                <Uuid as sqlx::Encode<'q, sqlx::Postgres>>::encode(self.uuid(), buffer)
            }
        }

        impl<'r> sqlx::Decode<'r, sqlx::Postgres> for $name {
            fn decode(value: sqlx::postgres::PgValueRef<'r>) -> Result<Self, sqlx::error::BoxDynError> {
                Ok(Self::of_uuid(<Uuid as sqlx::Decode<'r, sqlx::Postgres>>::decode(value)?))
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
            /// All of them.
            pub const ALL: [Self; [$(Self::$variant),*].len()] = [$(Self::$variant),*];

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

pub(super) use {text_column, text_of, words};

use uuid::Uuid;

use crate::id::{
    AgentChannelId, AgentId, AuditId, FleetId, InvitationId, Mark, NodeId, PersonId, RevisionId, SecretId, SessionId,
    TokenId, WorkflowId, WorkspaceId,
};

id_column!(WorkspaceId, NodeId, WorkflowId, RevisionId, SecretId, TokenId, PersonId, SessionId, InvitationId, AuditId);
id_column!(AgentId, AgentChannelId);
text_column!(FleetId, Mark);
