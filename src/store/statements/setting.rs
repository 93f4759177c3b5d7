//! Settings: what the store knows of itself.

use crate::id::FleetId;
use crate::store::{Reader, Store, Tx};
use crate::{Error, Result};

const FLEET: &str = "fleet";

impl Reader {
    /// A setting's value.
    ///
    /// # Errors
    /// Fails where the database does.
    pub async fn setting(&mut self, key: &str) -> Result<Option<String>> {
        scalar!(self, "reading a setting", "SELECT value FROM settings WHERE key = $1", key)
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
        execute!(
            self,
            "writing a setting",
            "INSERT INTO settings (key, value) VALUES ($1, $2) ON CONFLICT (key) DO UPDATE SET value = excluded.value",
            key,
            value
        )?;
        Ok(())
    }

    /// Forgets a setting.
    ///
    /// # Errors
    /// Fails where the database does.
    pub async fn delete_setting(&mut self, key: &str) -> Result<()> {
        execute!(self, "writing a setting", "DELETE FROM settings WHERE key = $1", key).map(drop)
    }

    /// Sets a setting unless it is set; gives what stands then.
    ///
    /// # Errors
    /// Fails where the database does.
    pub async fn keep_setting(&mut self, key: &str, value: &str) -> Result<String> {
        one!(
            self,
            "writing a setting",
            "INSERT INTO settings (key, value) VALUES ($1, $2) \
             ON CONFLICT (key) DO UPDATE SET value = settings.value RETURNING value",
            key,
            value,
        )
    }

    /// The next fence: higher than any given out before, over the whole fleet, so that fences of different workflows on
    /// one node can be compared.
    ///
    /// # Errors
    /// Fails where the database does.
    pub async fn next_fence(&mut self) -> Result<u64> {
        if !self.holds_rows() {
            return self.raise_fence(1).await;
        }
        // A sequence is nobody's bottleneck: it neither waits for other transactions nor is taken back with its own.
        let fence: i64 = one!(self, "raising the fence", "SELECT nextval('fences')")?;
        Ok(fence.unsigned_abs())
    }

    /// Raises the fence by `by`, while nobody else does.
    pub(in crate::store) async fn raise_fence(&mut self, by: u32) -> Result<u64> {
        let fence: i64 = one!(
            self,
            "raising the fence",
            (
                "INSERT INTO settings (key, value) VALUES ('fence', CAST($1 AS TEXT)) \
                 ON CONFLICT (key) DO UPDATE SET value = CAST(CAST(value AS INTEGER) + $1 AS TEXT) \
                 RETURNING CAST(value AS INTEGER)",
                "SELECT setval('fences', nextval('fences') + $1 - 1)"
            ),
            i64::from(by),
        )?;
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
                        tx.keep_setting(FLEET, fleet.as_str()).await?.parse()
                    })
                })
                .await?
            }
        };
        if let Some(place) = self.moved().await? {
            return Err(Error::input(format!("the store {} was taken over: it is {place} now", self.place()))
                .hint("`stead login URL` makes the commands speak to the control API there"));
        }
        if found == *fleet {
            return Ok(());
        }
        Err(Error::input(format!("the store {} belongs to the fleet {found}, not to {fleet}", self.place()))
            .hint(format!("set `fleet.id: {found}` in stead.yaml again, or give this fleet a folder of its own")))
    }
}
