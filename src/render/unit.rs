//! systemd units, rendered and looked over.
//!
//! `systemd-analyze verify` in the image's root has the last word. This check needs no systemd, and names the line of the
//! *result*: systemd itself only warns about a line that it does not understand, and leaves it out, sandboxing included.

use super::context::{Context, Sink};
use super::template;
use crate::{Error, Result};

/// The sections that a unit may have, by its suffix; besides `Unit`, and `Install` where it can be enabled.
const SECTIONS: [(&str, &[&str]); 7] = [
    (".service", &["Service"]),
    (".socket", &["Socket"]),
    (".timer", &["Timer"]),
    (".mount", &["Mount"]),
    (".path", &["Path"]),
    (".slice", &["Slice"]),
    (".target", &[]),
];

/// Renders a unit's template. `unit` is the unit's name (`agent@.service`), `template` what errors call the template.
///
/// # Errors
/// Fails as [`template::render`] does, and where the result is not a unit.
pub fn render(unit: &str, template: &str, text: &str, context: &Context, sink: Sink) -> Result<String> {
    let rendered = template::render(template, text, context, sink)?;
    check(unit, &rendered).map_err(|error| error.context(format!("{template} does not render to a unit")))?;
    Ok(rendered)
}

/// Checks a unit's syntax (systemd.syntax(7)) and the names of its sections.
///
/// # Errors
/// Fails at the first line that systemd would not understand, and where the unit's type is none that it has.
pub fn check(unit: &str, text: &str) -> Result<()> {
    let suffix = unit.rfind('.').map_or("", |dot| &unit[dot..]);
    let Some((_, own)) = SECTIONS.iter().find(|(known, _)| *known == suffix) else {
        return Err(Error::input(format!("{unit:?} is not the name of a unit"))
            .hint("a unit's name ends in its type: .service, .timer, …"));
    };
    let known: Vec<&str> = own.iter().copied().chain(["Unit", "Install"]).collect();
    let (mut section, mut continued) = (None, false);
    for (at, line) in text.lines().enumerate() {
        let wrong = |message: String| {
            Error::input(format!("{unit}:{number}: {message}\n{number:>5} | {line}", number = at + 1))
        };
        let content = line.trim();
        let comment = content.starts_with(['#', ';']);
        // Comments may stand within a continued line, and do not end it.
        if comment || (content.is_empty() && !continued) {
            continue;
        }
        let continues = line.ends_with('\\');
        if continued {
            continued = continues;
            continue;
        }
        if let Some(rest) = content.strip_prefix('[') {
            let Some(name) = rest.strip_suffix(']') else {
                return Err(wrong("a section's head ends in ]".to_owned()));
            };
            if !known.contains(&name) && !name.starts_with("X-") {
                let near = known.iter().find(|known| strsim::damerau_levenshtein(name, known) <= 2);
                let error = wrong(format!("a {} unit has no section [{name}]", &suffix[1..]));
                return Err(match near {
                    Some(near) => error.hint(format!("did you mean [{near}]?")),
                    None => error.hint(format!("sections are: {}", known.join(", "))),
                });
            }
            section = Some(name);
            continue;
        }
        let Some((key, _)) = content.split_once('=') else {
            return Err(wrong("this is no Key=value".to_owned()));
        };
        let key = key.trim_end();
        if key.is_empty() || !key.bytes().all(|c| c.is_ascii_alphanumeric() || c == b'-') {
            return Err(wrong(format!("{key:?} is not a key")));
        }
        if section.is_none() {
            return Err(wrong("this stands before the first section".to_owned()).hint("begin with [Unit]"));
        }
        continued = continues;
    }
    if continued {
        return Err(Error::input(format!("{unit}: the last line ends in \\ and has nothing to continue with")));
    }
    match (section, own.first()) {
        (None, _) => Err(Error::input(format!("{unit} is empty"))),
        (Some(_), Some(own)) if *own == "Service" && !has_section(text, own) => {
            Err(Error::input(format!("{unit} has no section [{own}]")))
        }
        _ => Ok(()),
    }
}

fn has_section(text: &str, name: &str) -> bool {
    text.lines().any(|line| line.trim() == format!("[{name}]"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "# about\n[Unit]\nDescription=x\n\n[Service]\nExecStart=/bin/x \\\n  # within\n  --flag\nEnvironment=\nX-Own=1\n[X-Stead]\nA=b\n[Install]\nWantedBy=multi-user.target\n";

    #[test]
    fn units_that_systemd_reads_pass() {
        check("agent@.service", GOOD).unwrap();
        check("a.timer", "[Timer]\nOnCalendar=daily\n").unwrap();
        check("a.target", "[Unit]\nDescription=x\n").unwrap();
    }

    #[test]
    fn what_systemd_would_leave_out_is_an_error_with_its_line() {
        for (text, expected) in [
            ("[Unit]\n[Servce]\nExecStart=/x\n", "a.service:2: a service unit has no section [Servce]"),
            ("[Service]\nExecStart /x\n", "a.service:2: this is no Key=value"),
            ("[Service]\nExec Start=/x\n", "\"Exec Start\" is not a key"),
            ("ExecStart=/x\n[Service]\n", "a.service:1: this stands before"),
            ("[Service\nExecStart=/x\n", "ends in ]"),
            ("[Service]\nExecStart=/x \\\n", "nothing to continue with"),
            ("[Unit]\nDescription=x\n", "has no section [Service]"),
            ("\n", "is empty"),
        ] {
            let error = check("a.service", text).unwrap_err();
            assert!(error.to_string().contains(expected), "{text:?} gave {error}");
        }
        assert_eq!(check("a.service", "[Servce]\n").unwrap_err().hints(), ["did you mean [Service]?"]);
        assert!(check("agent", GOOD).is_err());
    }

    #[test]
    fn a_rendered_unit_is_checked() {
        let mut context = Context::new();
        context.insert("command", "/bin/x\nUser root").unwrap();
        let text = "[Service]\nExecStart={{ command }}\n";
        let error = render("a.service", "templates/a.service.tera", text, &context, Sink::Public).unwrap_err();
        assert!(error.one_line().contains("a.service:3: this is no Key=value"), "{error:?}");
    }
}
