//! Debian's control files (Policy 5.1, deb822): stanzas of fields.

/// One stanza: each field's name with its lines, trimmed.
pub(super) struct Stanza<'a>(Vec<(&'a str, Vec<&'a str>)>);

impl<'a> Stanza<'a> {
    /// A field's lines; field names are the same in either case.
    fn lines(&self, name: &str) -> Option<&[&'a str]> {
        self.0.iter().find(|(field, _)| field.eq_ignore_ascii_case(name)).map(|(_, lines)| &lines[..])
    }

    /// What stands on the line of a field's name; `None` where there is no such field or nothing stands there.
    pub(super) fn line(&self, name: &str) -> Option<&'a str> {
        self.lines(name)?.first().copied().filter(|line| !line.is_empty())
    }

    /// A folded field's value on one line; empty where there is no such field.
    pub(super) fn folded(&self, name: &str) -> String {
        let lines = self.lines(name).unwrap_or_default().iter().copied();
        lines.filter(|line| !line.is_empty()).collect::<Vec<_>>().join(" ")
    }
}

/// The stanzas of a text. Lines that are no part of a field are passed over.
pub(super) fn stanzas(text: &str) -> impl Iterator<Item = Stanza<'_>> {
    let mut lines = text.lines();
    std::iter::from_fn(move || {
        let mut fields: Vec<(&str, Vec<&str>)> = Vec::new();
        for line in lines.by_ref() {
            if line.trim().is_empty() {
                if fields.is_empty() {
                    continue;
                }
                break;
            }
            if line.starts_with([' ', '\t']) {
                if let Some((_, value)) = fields.last_mut() {
                    value.push(line.trim());
                }
            } else if let Some((name, value)) = line.split_once(':') {
                fields.push((name, vec![value.trim()]));
            }
        }
        (!fields.is_empty()).then_some(Stanza(fields))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_go_on_over_lines_and_stanzas_end_at_empty_ones() {
        let text = "\n\nA: 1\nb:\n two,\n\tthree\nno field\n \t\nA: 2\n";
        let stanzas: Vec<_> = stanzas(text).collect();
        assert_eq!(stanzas.len(), 2);
        assert_eq!(stanzas[0].line("a"), Some("1"));
        assert_eq!(stanzas[0].line("B"), None);
        assert_eq!(stanzas[0].folded("B"), "two, three");
        assert_eq!(stanzas[0].folded("C"), "");
        assert_eq!(stanzas[1].line("A"), Some("2"));
    }
}
