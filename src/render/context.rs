//! The values that a template may use, and which of them are secret.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::redact::{Redactor, Secret};
use crate::{Error, Result};

/// Where rendered text goes, and so whether a secret may be in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sink {
    /// To a node, over SSH, to be held in memory there: the only place for a secret.
    Node,
    /// Into cloud-init's user-data, which a workload may be able to read for as long as the machine lives.
    UserData,
    /// Anywhere else: files, the store, logs, a terminal.
    Public,
}

impl Sink {
    fn what(self) -> &'static str {
        match self {
            Sink::Node => "what goes to a node",
            Sink::UserData => "cloud-init's user-data",
            Sink::Public => "text that is stored or shown",
        }
    }
}

/// The values that a template may use.
#[derive(Default)]
pub struct Context {
    values: BTreeMap<String, tera::Value>,
    secrets: BTreeMap<String, Secret>,
    redactor: Redactor,
}

impl Context {
    /// Without any value.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a value that anyone may see.
    ///
    /// # Errors
    /// Fails where the value has no form in templates (a map whose keys are not text).
    pub fn insert(&mut self, name: &str, value: &(impl Serialize + ?Sized)) -> Result<()> {
        let value = tera::Value::try_from_serializable(value).map_err(|error| {
            Error::failed(format!("the value {name:?} cannot be given to templates")).because(error)
        })?;
        self.values.insert(name.to_owned(), value);
        Ok(())
    }

    /// Adds every value of a map that anyone may see.
    ///
    /// # Errors
    /// As [`Context::insert`].
    pub fn extend<'a>(&mut self, values: impl IntoIterator<Item = (&'a String, &'a serde_json::Value)>) -> Result<()> {
        values.into_iter().try_for_each(|(name, value)| self.insert(name, value))
    }

    /// Adds a secret. From here on no output of this context holds it, except for [`Sink::Node`].
    ///
    /// # Errors
    /// Fails where the value is not UTF-8 text.
    pub fn insert_secret(&mut self, name: &str, value: Secret) -> Result<()> {
        if std::str::from_utf8(value.expose()).is_err() {
            return Err(Error::input(format!("the secret {name} is not UTF-8 text, which templates need"))
                .hint("hand it over as a credential instead: a `secret` task"));
        }
        self.redactor.learn(&value);
        self.values.remove(name);
        self.secrets.insert(name.to_owned(), value);
        Ok(())
    }

    /// Refuses a template that names a secret, where its output goes elsewhere than to a node.
    pub(super) fn refuse_names<'a>(
        &self,
        template: &str,
        used: impl IntoIterator<Item = &'a str>,
        sink: Sink,
    ) -> Result<()> {
        if sink == Sink::Node {
            return Ok(());
        }
        for name in used {
            if self.secrets.contains_key(name) {
                return Err(Error::input(format!(
                    "{template} uses the secret {name}, which must not get into {}",
                    sink.what()
                ))
                .hint("take it out of the template; a secret reaches its program as a credential: a `secret` task"));
            }
            // tera's name for everything that there is.
            if name == "__tera_context" && !self.secrets.is_empty() {
                return Err(Error::input(format!("{template} uses __tera_context, which shows every secret"))
                    .hint("name the values that the template needs"));
            }
        }
        Ok(())
    }

    /// Refuses text that holds a secret's value, however it got there, where it goes elsewhere than to a node.
    ///
    /// # Errors
    /// Fails where the text holds a secret, or a line of one, of four characters and more.
    pub fn refuse_values(&self, what: &str, text: &str, sink: Sink) -> Result<()> {
        if sink == Sink::Node || self.redactor.apply(text) == text {
            return Ok(());
        }
        Err(Error::input(format!("{what} holds a secret's value, which must not get into {}", sink.what()))
            .hint("look for a variable of tier or workspace that repeats the secret's value"))
    }

    /// The message with every secret masked: a filter's error quotes what it was given.
    pub(super) fn mask(&self, message: &str) -> String {
        self.redactor.apply(message)
    }

    /// What tera is given: secrets only where the output goes to a node.
    pub(super) fn values(&self, sink: Sink) -> tera::Context {
        let mut values = tera::Context::new();
        for (name, value) in &self.values {
            values.insert_value(name.clone(), value.clone());
        }
        if sink == Sink::Node {
            for (name, secret) in &self.secrets {
                values.insert(name.clone(), &String::from_utf8_lossy(secret.expose()));
            }
        }
        values
    }

    /// Every name that a template may use.
    pub(super) fn names(&self, sink: Sink) -> impl Iterator<Item = &str> {
        let secrets = self.secrets.keys().filter(move |_| sink == Sink::Node);
        self.values.keys().chain(secrets).map(String::as_str)
    }
}

impl std::fmt::Debug for Context {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Context").field("secrets", &self.secrets.keys()).finish_non_exhaustive()
    }
}
