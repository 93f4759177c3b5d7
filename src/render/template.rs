//! Templates, in [tera](https://docs.rs/tera) 2. Whatever is not defined is an error.

use tera::{ErrorKind, Tera};

use super::context::{Context, Sink};
use crate::{Error, Result};

/// Renders a template; `name` is what errors call it: its path.
///
/// # Errors
/// Fails where the text is not a template, where it uses a value that is not defined, and where a secret would get into
/// a sink that is not for it. The message shows the template's line.
pub fn render(name: &str, text: &str, context: &Context, sink: Sink) -> Result<String> {
    let mut tera = Tera::default();
    // What is rendered is never a web page, whatever the template is called.
    tera.autoescape_on(Vec::<&str>::new());
    tera.add_raw_template(name, text).map_err(|error| explain(name, text, &error, context, sink))?;
    let used = tera.get_template_variables(name).map_err(|error| explain(name, text, &error, context, sink))?;
    context.refuse_names(name, used, sink)?;
    let rendered =
        tera.render(name, &context.values(sink)).map_err(|error| explain(name, text, &error, context, sink))?;
    context.refuse_values(name, &rendered, sink)?;
    Ok(rendered)
}

/// tera's error in the form in which every mistake in a file is told: place, message, line, marks, hint.
fn explain(name: &str, text: &str, error: &tera::Error, context: &Context, sink: Sink) -> Error {
    let report = match error.kind() {
        ErrorKind::SyntaxError(report) | ErrorKind::RenderingError(report) => report,
        other => {
            return Error::input(format!("{name}: {}", context.mask(other.to_string().trim())));
        }
    };
    let (message, hint) = plain_words(report.message(), context, sink);
    let span = report.span();
    let line = text.lines().nth(span.start_line.saturating_sub(1)).unwrap_or_default();
    let length = if span.end_line == span.start_line { span.end_col.saturating_sub(span.start_col) } else { 1 };
    let indent: String = line.chars().take(span.start_col).map(|c| if c == '\t' { '\t' } else { ' ' }).collect();
    let error = Error::input(format!(
        "{name}:{number}:{column}: {message}\n{number:>5} | {line}\n{nothing:>5} | {indent}{marks}",
        number = span.start_line,
        column = span.start_col + 1,
        nothing = "",
        marks = "^".repeat(length.max(1)),
        message = context.mask(&message),
    ));
    match hint {
        Some(hint) => error.hint(hint),
        None => error,
    }
}

/// tera's commonest message, and the nearest name that there is.
fn plain_words(message: &str, context: &Context, sink: Sink) -> (String, Option<String>) {
    let quoted =
        |prefix: &str| message.strip_prefix(prefix).and_then(|rest| rest.split_once('`')).map(|(name, _)| name);
    if let Some(variable) = quoted("Variable `") {
        return (format!("the variable {variable:?} is not defined"), hint(variable, context.names(sink)));
    }
    if let Some(field) = quoted("Field `") {
        let known = message.split_once("Available fields: ").map(|(_, names)| names).unwrap_or_default();
        return (format!("the field {field:?} is not defined"), hint(field, known.split(", ")));
    }
    if message == "Tried to render a variable that is undefined" {
        return (
            "this is not defined".to_owned(),
            Some("give a default: {{ value | default(value=\"…\") }}".to_owned()),
        );
    }
    (message.to_owned(), None)
}

fn hint<'a>(name: &str, known: impl Iterator<Item = &'a str>) -> Option<String> {
    let known: Vec<_> = known.filter(|known| !known.is_empty()).collect();
    let far = name.chars().count().div_ceil(3);
    let near = known
        .iter()
        .map(|known| (strsim::damerau_levenshtein(name, known), known))
        .filter(|(distance, _)| *distance <= far)
        .min();
    match near {
        Some((_, near)) => Some(format!("did you mean {near:?}?")),
        None if known.is_empty() => None,
        None => Some(format!("defined are: {}", known.join(", "))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::redact::Secret;

    fn context() -> Context {
        let mut context = Context::new();
        context.insert("hostname", "acme").unwrap();
        context.insert("node", &serde_json::json!({"address": "10.0.0.2"})).unwrap();
        context.insert("copy", "sk-live-1234567").unwrap();
        context.insert_secret("API_KEY", Secret::new(b"sk-live-1234567".to_vec())).unwrap();
        context
    }

    fn error(text: &str, sink: Sink) -> Error {
        render("templates/x.tera", text, &context(), sink).unwrap_err()
    }

    #[test]
    fn an_undefined_value_is_named_with_its_line() {
        let undefined = error("one\n\tHost {{ hostnme }}!\n", Sink::Public);
        assert_eq!(
            undefined.to_string(),
            "templates/x.tera:2:10: the variable \"hostnme\" is not defined\n    2 | \tHost {{ hostnme }}!\n      | \t        ^^^^^^^"
        );
        assert_eq!(undefined.hints(), ["did you mean \"hostname\"?"]);
        let field = error("{{ node.adress }}", Sink::Public);
        assert!(field.to_string().contains("the field \"adress\" is not defined"), "{field}");
        assert_eq!(field.hints(), ["did you mean \"address\"?"]);
    }

    #[test]
    fn what_is_no_template_says_where() {
        for text in ["a\n{{ hostname", "{% if hostname %}x", "{{ hostname | nosuchfilter }}", "{% include \"other\" %}"]
        {
            let error = error(text, Sink::Public);
            assert!(error.to_string().starts_with("templates/x.tera:"), "{error}");
            assert_eq!(error.kind(), crate::Kind::Input);
        }
    }

    #[test]
    fn a_secret_gets_only_to_a_node() {
        let text = "key={{ API_KEY }}";
        assert_eq!(render("t", text, &context(), Sink::Node).unwrap(), "key=sk-live-1234567");
        for sink in [Sink::UserData, Sink::Public] {
            for named in [text, "{% if false %}{{ API_KEY }}{% endif %}", "{% set x = API_KEY %}{{ x }}"] {
                assert!(error(named, sink).to_string().contains("uses the secret API_KEY"), "{named}");
            }
            // The same value under another name, and put together of parts.
            for valued in
                ["{{ copy }}", "{{ copy | truncate(length=2, end='') }}-live-1234567", "sk-{{ 'live' }}-1234567"]
            {
                let error = error(valued, sink);
                assert!(error.to_string().contains("holds a secret's value"), "{error}");
                assert!(!error.to_string().contains("sk-live"));
            }
        }
        assert_eq!(render("t", "{{ hostname }}", &context(), Sink::UserData).unwrap(), "acme");
        assert!(!render("t", "{{ __tera_context }}", &context(), Sink::Public).is_ok_and(|text| text.contains("sk-")));
    }

    #[test]
    fn an_error_masks_secrets() {
        let error = error("{{ API_KEY | int }}", Sink::Node);
        assert!(!format!("{error:?}").contains("sk-live"), "{error:?}");
    }

    #[test]
    fn nothing_is_escaped_as_if_it_were_a_web_page() {
        let mut context = Context::new();
        context.insert("x", "<a & b>").unwrap();
        assert_eq!(render("page.html", "{{ x }}", &context, Sink::Public).unwrap(), "<a & b>");
    }
}
