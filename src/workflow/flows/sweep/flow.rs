//! `sweep`: a sweep of one host, asked for from elsewhere.

use std::time::Duration;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use super::super::Platform;
use super::{Mend, record, sweep};
use crate::Error;
use crate::workflow::{Flow, Step, StepCx, StepError};

/// The flow's name. Its subject is a host ([`subject`]).
pub const KIND: &str = "sweep";

/// What the flow is given.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Params {
    /// The host.
    pub host: String,
    /// What is to be put right there.
    #[serde(flatten)]
    pub mend: Mend,
    /// Who asked for it, for the audit log.
    pub actor: String,
}

/// A host, as what a flow is about.
pub fn subject(host: &str) -> String {
    format!("host/{host}")
}

/// The flow. Nothing of it is taken back: what it destroyed was nobody's.
pub fn flow() -> Flow<Platform> {
    Flow { kind: KIND, steps: vec![Box::new(Look)] }
}

struct Look;

#[async_trait]
impl Step<Platform> for Look {
    fn name(&self) -> &'static str {
        "look"
    }

    fn timeout(&self) -> Duration {
        Duration::from_secs(10 * 60)
    }

    async fn run(&self, cx: &StepCx<'_, Platform>) -> Result<serde_json::Value, StepError> {
        let (Params { host, mend, actor }, platform) = (cx.params()?, cx.context());
        if host != platform.host {
            return Err(StepError::Fatal(Error::failed(format!("this is {}, and not {host}", platform.host))));
        }
        let found = sweep(platform, cx.store(), mend, &actor).await?;
        record(platform, cx.store(), &found).await?;
        Ok(serde_json::json!(found))
    }

    async fn undo(&self, _: &StepCx<'_, Platform>) -> Result<(), StepError> {
        Ok(())
    }
}
