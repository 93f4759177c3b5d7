//! Settings: what the store knows of itself.

use crate::id::FleetId;
use crate::store::{Reader, Store, Tx, database};
use crate::{Error, Result};

const FLEET: &str = "fleet";
const FENCE: &str = "fence";

impl Reader {
    /// A setting's value.
    ///
    /// # Errors
    /// Fails where the database does.
    pub async fn setting(&mut self, key: &str) -> Result<Option<String>> {
        sqlx::query_scalar("SELECT value FROM settings WHERE key = ?")
            .bind(key)
            .fetch_optional(self.sqlite())
            .await
            .map_err(|error| database("reading a setting", error))
    }

    /// The fleet that the store belongs to; none before [`Store::bind_fleet`].
    ///
    /// # Errors
    /// Fails where the database does.
    pub async fn fleet(&mut self) -> Result<Option<FleetId>> {
        self.setting(FLEET).await?.map(|id| id.parse()).transpose()
    }
}

impl Tx {
    /// Sets a setting.
    ///
    /// # Errors
    /// Fails where the database does.
    pub async fn set_setting(&mut self, key: &str, value: &str) -> Result<()> {
        sqlx::query(
            "INSERT INTO settings (key, value) VALUES (?, ?) ON CONFLICT (key) DO UPDATE SET value = excluded.value",
        )
        .bind(key)
        .bind(value)
        .execute(self.sqlite())
        .await
        .map_err(|error| database("writing a setting", error))?;
        Ok(())
    }

    /// The next fence: higher than any given out before, over the whole fleet, so that fences of different workflows on
    /// one node can be compared.
    ///
    /// # Errors
    /// Fails where the database does.
    pub async fn next_fence(&mut self) -> Result<u64> {
        self.raise_fence(1).await
    }

    /// Raises the fence by `by`.
    pub(in crate::store) async fn raise_fence(&mut self, by: u32) -> Result<u64> {
        let fence: i64 = sqlx::query_scalar(
            "INSERT INTO settings (key, value) VALUES (?1, ?2) \
             ON CONFLICT (key) DO UPDATE SET value = CAST(CAST(value AS INTEGER) + ?2 AS TEXT) \
             RETURNING CAST(value AS INTEGER)",
        )
        .bind(FENCE)
        .bind(by.to_string())
        .fetch_one(self.sqlite())
        .await
        .map_err(|error| database("raising the fence", error))?;
        Ok(fence.unsigned_abs())
    }
}

impl Store {
    /// Makes the store belong to a fleet, or checks that it does.
    ///
    /// # Errors
    /// Fails where it belongs to another fleet.
    pub async fn bind_fleet(&self, fleet: &FleetId) -> Result<()> {
        let found = match self.read().await?.fleet().await? {
            Some(found) => found,
            None => {
                let fleet = fleet.clone();
                self.write(move |tx| {
                    Box::pin(async move {
                        // Another program may have been first.
                        if let Some(found) = tx.fleet().await? {
                            return Ok(found);
                        }
                        tx.set_setting(FLEET, fleet.as_str()).await?;
                        Ok(fleet)
                    })
                })
                .await?
            }
        };
        if found == *fleet {
            return Ok(());
        }
        Err(Error::input(format!("the store in {} belongs to the fleet {found}, not to {fleet}", self.dir()))
            .hint(format!("set `fleet.id: {found}` in stead.yaml again, or give this fleet a folder of its own")))
    }
}
