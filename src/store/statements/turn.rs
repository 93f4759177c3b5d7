//! Turns: what only one transaction at a time may do.

use crate::Result;
use crate::store::Tx;

/// What is done by one transaction after the other, since each goes on from what the last one has written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Turn {
    /// Sealing the audit log.
    AuditChain,
    /// Publishing a revision.
    Revisions,
}

impl Tx {
    /// Waits for the turn of whatever is about this word, a mail address say, which ends with the transaction.
    ///
    /// # Errors
    /// As [`Tx::take_turn`].
    pub async fn take_turn_of(&mut self, word: &str) -> Result<()> {
        if self.holds_rows() {
            execute!(self, "waiting for other programs", "SELECT pg_advisory_xact_lock(7382, hashtext($1))", word)?;
        }
        Ok(())
    }

    /// Waits for its turn, which ends with the transaction. In SQLite there is but one writer.
    ///
    /// # Errors
    /// Fails where the database does, and where the turn does not come within ten seconds.
    pub async fn take_turn(&mut self, turn: Turn) -> Result<()> {
        if self.holds_rows() {
            // The first number keeps these locks apart from whatever else uses the database.
            execute!(
                self,
                "waiting for other programs",
                "SELECT pg_advisory_xact_lock(7380, $1)",
                match turn {
                    Turn::AuditChain => 1_i32,
                    Turn::Revisions => 2,
                }
            )?;
        }
        Ok(())
    }
}
