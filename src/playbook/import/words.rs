//! Ansible's short forms: `name=nginx state=present`, and command lines. Expressions in braces are one piece.

/// A word of a short form or a command line, with its place in bytes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Word {
    /// Without quotes, which are taken off as Python's `shlex` does.
    pub(super) text: String,
    pub(super) start: usize,
    pub(super) end: usize,
    /// Expressions outside of quotes: what they give may have blanks, which would make several words of it.
    pub(super) open: Vec<String>,
}

/// Splits a text at blanks outside of quotes and braces.
pub(super) fn split(text: &str) -> Result<Vec<Word>, &'static str> {
    let mut words: Vec<Word> = Vec::new();
    let mut quote: Option<char> = None;
    let mut is_within = false;
    let mut at = 0;
    while let Some(c) = text[at..].chars().next() {
        let mut length = c.len_utf8();
        if quote.is_none() && c.is_whitespace() {
            is_within = false;
            at += length;
            continue;
        }
        if !is_within {
            words.push(Word { start: at, ..Word::default() });
            is_within = true;
        }
        let Some(word) = words.last_mut() else { break };
        let next = text[at + length..].chars().next();
        match (c, quote) {
            ('{', _) if next == Some('{') => {
                length = text[at..].find("}}").ok_or("braces are left open")? + 2;
                word.text.push_str(&text[at..at + length]);
                if quote.is_none() {
                    word.open.push(text[at + 2..at + length - 2].trim().to_owned());
                }
            }
            ('\\', None) => {
                let next = next.ok_or("a backslash with nothing behind it")?;
                word.text.push(next);
                length += next.len_utf8();
            }
            ('\\', Some('"')) if matches!(next, Some('"' | '\\')) => {
                word.text.extend(next);
                length += 1;
            }
            (c, Some(open)) if c == open => quote = None,
            ('"' | '\'', None) => quote = Some(c),
            _ => word.text.push(c),
        }
        at += length;
        word.end = at;
    }
    if quote.is_some() { Err("a quote is left open") } else { Ok(words) }
}

/// A word that is `key=value`, taken apart.
pub(super) fn pair(word: &Word) -> Option<(&str, &str)> {
    let (key, value) = word.text.split_once('=')?;
    let is_key = !key.is_empty() && key.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    is_key.then_some((key, value))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_shlex_s() {
        let words = split(r#"a "b c" 'd "e' f\ g "h\"i" "" x{{ y | z }} '{{ b }}'"#).unwrap();
        let texts: Vec<&str> = words.iter().map(|word| word.text.as_str()).collect();
        assert_eq!(texts, ["a", "b c", "d \"e", "f g", "h\"i", "", "x{{ y | z }}", "{{ b }}"]);
        assert_eq!((words[1].start, words[1].end, words[6].open.len(), words[7].open.len()), (2, 7, 1, 0));
        assert!(["'a", "\"", "{{ a", "a\\"].iter().all(|open| split(open).is_err()));
        assert_eq!(split("a='b c'=d").unwrap().iter().filter_map(pair).collect::<Vec<_>>(), [("a", "b c=d")]);
    }
}
