//! Reading the control plane's settings: defaults, file, environment, flags.

use camino::{Utf8Path, Utf8PathBuf};
use figment::providers::{Env, Format, Serialized, Toml};
use figment::value::{Dict, Value};
use figment::{Figment, Source};
use serde::Serialize;

use super::control::Control;
use crate::{Error, Result};

/// Where the file lies unless it is named.
pub const DEFAULT_FILE: &str = "/etc/stead/control.toml";
/// Names the file.
const FILE_VARIABLE: &str = "STEAD_CONFIG";
/// What names of variables begin with: `STEAD_HTTP_LISTEN` is `http.listen`.
const PREFIX: &str = "STEAD_";

/// The settings, and where each came from.
#[derive(Debug)]
pub struct Layers {
    /// The settings.
    pub control: Control,
    /// The file that was read, where there is one.
    pub file: Option<Utf8PathBuf>,
    figment: Figment,
}

/// A setting, for people.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub struct Setting {
    /// Its name (`http.listen`).
    pub name: String,
    /// Its value as TOML has it; passwords are masked. None where it is not set.
    pub value: Option<String>,
    /// Where it came from.
    pub source: String,
}

impl Layers {
    /// Reads `file`, or the one that `STEAD_CONFIG` names, or [`DEFAULT_FILE`] where that is there; then the environment.
    /// `flags` are settings by name that go before all.
    ///
    /// # Errors
    /// Fails with every mistake, one in each section at a time.
    pub fn read(file: Option<&Utf8Path>, flags: &[(&str, String)]) -> Result<Self> {
        let file = match (file, std::env::var(FILE_VARIABLE)) {
            (Some(file), _) => Some(file.to_owned()),
            (None, Ok(named)) if !named.is_empty() => Some(named.into()),
            _ => Some(Utf8PathBuf::from(DEFAULT_FILE)).filter(|file| file.is_file()),
        };
        let text = match &file {
            Some(file) => std::fs::read_to_string(file).map_err(|error| {
                let failed = Error::input(format!("the settings {file} cannot be read")).because(error);
                failed.hint(format!("name another with --config or {FILE_VARIABLE}"))
            })?,
            None => String::new(),
        };
        let names: Vec<String> = names();
        let environment = Env::prefixed(PREFIX)
            .filter_map(move |key| {
                let written = key.as_str().to_ascii_lowercase();
                // A variable that is empty is one that is not set, as for all programs of shells.
                let is_empty =
                    std::env::var(format!("{PREFIX}{}", variable(&written))).is_ok_and(|value| value.is_empty());
                if is_empty {
                    return None;
                }
                names.iter().find(|name| name.replace('.', "_") == written).map(|name| name.clone().into())
            })
            .lowercase(false);
        let defaults = Figment::from(Serialized::defaults(Control::default()));
        let mut figment = match &file {
            Some(file) => defaults.merge(Toml::file(file)),
            None => defaults,
        };
        figment = figment.merge(environment);
        for (name, value) in flags {
            figment = figment.merge(Named(Serialized::default(name, parsed(value))));
        }
        let control = extract(&figment, file.as_deref(), &text)?;
        Ok(Self { control, file, figment })
    }

    /// All settings by name.
    pub fn settings(&self) -> Vec<Setting> {
        names()
            .into_iter()
            .map(|name| {
                let value = self.figment.find_value(&name).ok().filter(|value| !matches!(value, Value::Empty(..)));
                let source = match self.figment.find_metadata(&name) {
                    Some(metadata) => match &metadata.source {
                        Some(Source::File(path)) => path.display().to_string(),
                        _ if metadata.name.contains("environment") => format!("{PREFIX}{}", variable(&name)),
                        _ if metadata.name == FLAG => FLAG.to_owned(),
                        _ => "default".to_owned(),
                    },
                    None => "default".to_owned(),
                };
                Setting { value: value.map(|value| masked(&text_of(&value))), name, source }
            })
            .collect()
    }
}

const FLAG: &str = "a flag";

/// A flag's setting, which says that it is one.
struct Named(Serialized<Value>);

impl figment::Provider for Named {
    fn metadata(&self) -> figment::Metadata {
        figment::Metadata::named(FLAG)
    }

    fn data(&self) -> figment::error::Result<figment::value::Map<figment::Profile, Dict>> {
        self.0.data()
    }
}

/// A flag's value as the environment's are read: numbers as numbers, `[a, b]` as a list.
fn parsed(value: &str) -> Value {
    value.parse().unwrap_or_else(|never| match never {})
}

fn variable(name: &str) -> String {
    name.replace('.', "_").to_ascii_uppercase()
}

/// The names of all settings, from the settings themselves.
fn names() -> Vec<String> {
    let all = serde_json::to_value(Control::default()).unwrap_or_default();
    let sections = all.as_object().into_iter().flatten();
    sections
        .flat_map(|(section, settings)| {
            let settings = settings.as_object().into_iter().flatten();
            settings.map(move |(name, _)| format!("{section}.{name}"))
        })
        .collect()
}

fn text_of(value: &Value) -> String {
    match value {
        Value::String(_, text) => text.clone(),
        other => serde_json::to_value(other).unwrap_or_default().to_string(),
    }
}

/// Hides the password of a URL: of its user (RFC 3986, section 3.2.1), and of its query, where PostgreSQL's may have one.
fn masked(text: &str) -> String {
    let Some((head, query)) = text.split_once('?') else { return without_user_password(text) };
    let part = |part: &str| match part.split_once('=') {
        Some((name, _)) if name.eq_ignore_ascii_case("password") => format!("{name}=***"),
        _ => part.to_owned(),
    };
    format!("{}?{}", without_user_password(head), query.split('&').map(part).collect::<Vec<_>>().join("&"))
}

fn without_user_password(text: &str) -> String {
    let Some((scheme, rest)) = text.split_once("://") else { return text.to_owned() };
    let end = rest.find(['/', '?']).unwrap_or(rest.len());
    let Some((user, host)) = rest[..end].rsplit_once('@') else { return text.to_owned() };
    match user.split_once(':') {
        Some((user, _)) => format!("{scheme}://{user}:***@{host}{}", &rest[end..]),
        None => text.to_owned(),
    }
}

/// The settings, with every section's first mistake told.
fn extract(figment: &Figment, file: Option<&Utf8Path>, text: &str) -> Result<Control> {
    let mistakes: Vec<figment::Error> = match figment.extract::<Control>() {
        Ok(control) => return Ok(control),
        Err(first) => {
            let sections = names();
            let mut sections: Vec<&str> = sections.iter().filter_map(|name| name.split('.').next()).collect();
            sections.dedup();
            let in_sections: Vec<figment::Error> =
                sections.into_iter().flat_map(|section| mistakes_in(figment, section)).collect();
            if in_sections.is_empty() { first.into_iter().collect() } else { in_sections }
        }
    };
    let lines: Vec<String> = mistakes.iter().map(|mistake| told(mistake, file, text)).collect();
    let error = Error::input(lines.join("\n"));
    Err(error.hint("`stead config show` lists all settings, and docs/control-plane.md what they mean"))
}

fn mistakes_in(figment: &Figment, section: &str) -> Vec<figment::Error> {
    // The section alone, on top of the defaults: what is wrong elsewhere does not come in between.
    let Ok(value) = figment.find_value(section) else { return Vec::new() };
    let alone = Figment::from(Serialized::defaults(Control::default())).merge(Section(figment, section, value));
    alone.extract::<Control>().err().into_iter().flatten().collect()
}

struct Section<'a>(&'a Figment, &'a str, Value);

impl figment::Provider for Section<'_> {
    fn metadata(&self) -> figment::Metadata {
        self.0.find_metadata(self.1).cloned().unwrap_or_default()
    }

    fn data(&self) -> figment::error::Result<figment::value::Map<figment::Profile, Dict>> {
        let mut dict = Dict::new();
        dict.insert(self.1.to_owned(), self.2.clone());
        let mut map = figment::value::Map::new();
        map.insert(figment::Profile::Default, dict);
        Ok(map)
    }
}

/// A mistake with its place.
fn told(mistake: &figment::Error, file: Option<&Utf8Path>, text: &str) -> String {
    use figment::error::Kind;
    let mut path = mistake.path.clone();
    let what = match &mistake.kind {
        Kind::UnknownField(field, known) => {
            if path.last() != Some(field) {
                path.push(field.clone());
            }
            let nearest =
                known.iter().max_by(|a, b| strsim::jaro_winkler(field, a).total_cmp(&strsim::jaro_winkler(field, b)));
            let suggestion = nearest.map(|nearest| format!("; did you mean {nearest:?}?")).unwrap_or_default();
            format!("there is no setting {:?}{suggestion}", path.join("."))
        }
        // The parser's own message has line, column and the text.
        Kind::Message(message) if path.is_empty() => message.trim_end().to_owned(),
        kind => format!("{}: {kind}", path.join(".")),
    };
    let from_file = mistake.metadata.as_ref().is_none_or(|metadata| matches!(metadata.source, Some(Source::File(_))));
    let place = match (file, line_of(text, &path)) {
        (Some(file), Some(line)) if from_file => format!("{file}:{line}: "),
        (Some(file), None) if from_file => format!("{file}: "),
        _ if !path.is_empty() => format!("{PREFIX}{}: ", variable(&path.join("."))),
        _ => String::new(),
    };
    format!("{place}{what}")
}

/// The line, from 1, that a setting stands on.
fn line_of(text: &str, path: &[String]) -> Option<usize> {
    let (section, name) = (path.first()?, path.get(1));
    let header = format!("[{section}]");
    let mut within = false;
    for (number, line) in (1..).zip(text.lines()) {
        let line = line.trim();
        if line.starts_with('[') {
            within = line == header;
            if within && name.is_none() {
                return Some(number);
            }
        } else if let (true, Some(name)) = (within, name)
            && line.split('=').next().is_some_and(|key| key.trim().trim_matches('"') == name)
        {
            return Some(number);
        } else if name.is_none() && line.split('=').next().is_some_and(|key| key.trim() == section) {
            return Some(number);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str, flags: &[(&str, String)]) -> Result<Layers> {
        let dir = tempfile::tempdir().unwrap();
        let file = Utf8Path::from_path(dir.path()).unwrap().join("control.toml");
        std::fs::write(&file, text).unwrap();
        Layers::read(Some(&file), flags)
    }

    #[test]
    fn what_comes_later_goes_before_and_says_where_it_came_from() {
        let text = "[http]\nlisten = \"127.0.0.1:1\"\nbody_kib = 5\n[database]\nurl = \"postgres://u:p@h/d\"\n";
        let layers = read(text, &[("http.listen", "127.0.0.1:2".into())]).unwrap();
        assert_eq!((layers.control.http.listen.port(), layers.control.http.body_kib), (2, 5));
        let setting = |name: &str| layers.settings().into_iter().find(|setting| setting.name == name).unwrap();
        assert_eq!(setting("http.listen").source, "a flag");
        assert!(setting("http.body_kib").source.ends_with("control.toml"));
        assert_eq!(setting("worker.concurrency").source, "default");
        assert_eq!(setting("database.url").value.unwrap(), "postgres://u:***@h/d");
        assert_eq!(setting("state.dir").value, None);
    }

    #[test]
    fn mistakes_name_file_line_and_the_way_out() {
        let text = "[http]\nlisten = \"127.0.0.1:1\"\nbody_kb = 5\n\n[limits]\nper_token = \"many\"\n";
        let error = read(text, &[]).unwrap_err();
        assert_eq!(error.kind(), crate::Kind::Input);
        let text = error.to_string();
        assert!(
            text.contains("control.toml:3: there is no setting \"http.body_kb\"; did you mean \"body_kib\"?"),
            "{text}"
        );
        assert!(text.contains("control.toml:6: limits.per_token: "), "{text}");
        let error = read("[htp]\n", &[]).unwrap_err().to_string();
        assert!(error.contains("control.toml:1: there is no setting \"htp\"; did you mean \"http\"?"), "{error}");
        let error = read("[http\n", &[]).unwrap_err().to_string();
        assert!(error.contains("control.toml") && error.contains("line 1"), "{error}");
        let missing = Layers::read(Some(Utf8Path::new("/nowhere/x.toml")), &[]).unwrap_err();
        assert!(format!("{missing:?}").contains("/nowhere/x.toml"), "{missing:?}");
    }

    #[test]
    fn only_passwords_are_masked() {
        for (text, shown) in [
            ("postgres://u@h/d?host=/a@b", "postgres://u@h/d?host=/a@b"),
            ("postgres://a%40b:secret@h", "postgres://a%40b:***@h"),
            ("postgres://u:p@h/d?password=x&host=/a", "postgres://u:***@h/d?password=***&host=/a"),
            ("127.0.0.1:7380", "127.0.0.1:7380"),
        ] {
            assert_eq!(masked(text), shown);
        }
    }
}
