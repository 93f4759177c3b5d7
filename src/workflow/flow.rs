//! Flows: the kinds of workflows that a program knows.

use std::collections::BTreeMap;

use super::Step;

/// A kind of workflow.
pub struct Flow<C> {
    /// Its name (`provision`), the same in every version of the program.
    pub kind: &'static str,
    /// Its steps. Later versions may add some behind those that are there, and change what they do; workflows of an
    /// older version that are under way are parked where the names no longer match.
    pub steps: Vec<Box<dyn Step<C>>>,
}

/// The flows that a program knows, by kind.
pub struct Registry<C>(BTreeMap<&'static str, Flow<C>>);

impl<C> Default for Registry<C> {
    fn default() -> Self {
        Self(BTreeMap::new())
    }
}

impl<C: Send + Sync + 'static> Registry<C> {
    /// Adds a flow. One of the same kind is replaced.
    #[must_use]
    pub fn with(mut self, flow: Flow<C>) -> Self {
        self.0.insert(flow.kind, flow);
        self
    }

    /// The kinds that are known.
    pub fn kinds(&self) -> impl Iterator<Item = &'static str> {
        self.0.keys().copied()
    }

    /// The flow of this kind.
    pub fn get(&self, kind: &str) -> Option<&Flow<C>> {
        self.0.get(kind)
    }
}
