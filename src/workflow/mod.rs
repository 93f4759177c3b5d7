//! Durable work: sequences of steps that survive the death of any process, each with a way back.
//!
//! A step's record is written before and after it. A step that was under way when its process died is run again, so
//! every step may be run twice, and every external create looks for its mark first. When a step fails for good, the
//! steps before it are undone in reverse order, the failed one first, since it may have half acted. A step marked as
//! [`Step::commits`] is the point of no return: after it a failed workflow is parked for a person to look at.
//!
//! A process works under a lease with a fence that grows with every lease in the fleet. Whoever finds the lease run out,
//! or its holder dead, takes the work over; the old holder's writes are refused from then on, here and on the nodes.

mod engine;
mod event;
#[cfg(debug_assertions)]
mod fault;
mod flow;
pub mod flows;
mod lease;
mod mend;
mod run;
mod step;
#[cfg(debug_assertions)]
#[doc(hidden)]
pub mod test_helpers;
#[cfg(test)]
#[cfg(debug_assertions)]
mod tests;
mod watched;
mod worker;

pub use engine::{Engine, Outcome};
pub use event::{Event, EventState, NoObserver, Observer};
#[cfg(debug_assertions)]
pub use fault::{Fault, FaultPoint};
pub use flow::{Flow, Registry};
pub use mend::Mend;
pub use step::{OrRetry, Retry, Step, StepCx, StepError};
pub use worker::Worker;
