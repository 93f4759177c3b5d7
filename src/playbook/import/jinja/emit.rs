//! Trees, written in tera's words: names, paths and literals. Operators and filters have files of their own.

use super::facts;
use super::parse::{Expr, Kind};
use super::{Problem, Ty, Use};
use crate::playbook::import::names::{Names, is_identifier};

/// How tight an expression binds in tera, so that parentheses stand where they are needed.
pub(super) const TERNARY: u8 = 0;
pub(super) const OR: u8 = 1;
pub(super) const AND: u8 = 2;
pub(super) const NOT: u8 = 3;
pub(super) const IN: u8 = 4;
pub(super) const COMPARE: u8 = 5;
pub(super) const SUM: u8 = 6;
pub(super) const PRODUCT: u8 = 7;
pub(super) const FILTER: u8 = 9;
pub(super) const ATOM: u8 = 10;

/// What Python's own values have under these names goes before what a mapping has.
const METHODS: &str = "items keys values get pop copy update index count sort split strip format title";

#[derive(Debug, Clone)]
pub(super) struct Piece {
    pub(super) text: String,
    pub(super) level: u8,
    pub(super) ty: Ty,
    /// It cannot be undefined.
    pub(super) sure: bool,
}

impl Piece {
    pub(super) fn new(text: impl Into<String>, level: u8, ty: Ty) -> Self {
        Self { text: text.into(), level, ty, sure: true }
    }

    /// The text, in parentheses where it binds less than that.
    pub(super) fn at(&self, level: u8) -> String {
        if self.level < level { format!("({})", self.text) } else { self.text.clone() }
    }
}

/// Text in tera's quotes; `None` where it cannot be written there.
pub(super) fn quote(text: &str) -> Option<String> {
    // A reader that looks for the end of an expression does not look for quotes.
    let is_plain = !text.contains(char::is_control) && !["{{", "}}", "{%", "%}", "{#"].iter().any(|m| text.contains(m));
    is_plain.then(|| format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\"")))
}

pub(super) struct Emitter<'a> {
    pub(super) names: &'a Names,
    pub(super) uses: Vec<Use>,
}

pub(super) fn refuse<T>(expr: &Expr, why: impl Into<String>, hint: &str) -> Result<T, Problem> {
    Err(Problem::new(expr.start, expr.end, why, hint))
}

impl<'a> Emitter<'a> {
    pub(super) fn new(names: &'a Names) -> Self {
        Self { names, uses: Vec::new() }
    }

    pub(super) fn emit(&mut self, expr: &Expr) -> Result<Piece, Problem> {
        self.value(expr, false)
    }

    /// Writes an expression; with `maybe` its value may be missing, since what stands around it deals with that.
    pub(super) fn value(&mut self, expr: &Expr, maybe: bool) -> Result<Piece, Problem> {
        match &expr.kind {
            Kind::Name(_) | Kind::Attr(..) | Kind::Index(..) => self.path(expr, maybe),
            Kind::Text(text) => match quote(text) {
                Some(quoted) => Ok(Piece::new(quoted, ATOM, Ty::Text)),
                None => refuse(expr, "text with braces in an expression", "give it as a variable under `vars`"),
            },
            Kind::Int(number) if *number < 0 => Ok(Piece::new(format!("({number})"), ATOM, Ty::Number)),
            Kind::Int(number) => Ok(Piece::new(number.to_string(), ATOM, Ty::Number)),
            Kind::Bool(truth) => Ok(Piece::new(truth.to_string(), ATOM, Ty::Bool)),
            Kind::Null => Ok(Piece::new("none", ATOM, Ty::Null)),
            Kind::List(items) => {
                let items = items.iter().map(|item| Ok(self.emit(item)?.text)).collect::<Result<Vec<_>, Problem>>()?;
                Ok(Piece::new(format!("[{}]", items.join(", ")), ATOM, Ty::List))
            }
            Kind::Call => refuse(expr, "a function, a lookup or a method", "give the value itself, or as a variable"),
            Kind::Filter(base, name, args) => self.filter(expr, base, name, args),
            Kind::Test(base, name, args) => self.test(expr, base, name, args, false),
            Kind::Not(inner) => self.not(inner),
            Kind::Binary(op, left, right) => self.binary(expr, op, left, right),
            Kind::If(then, condition, other) => self.choice(then, condition, other),
        }
    }

    fn path(&mut self, expr: &Expr, maybe: bool) -> Result<Piece, Problem> {
        let path = expr.path();
        if let Some(path) = &path {
            if let Some(fact) = facts::named(path).filter(|_| !self.names.defines(path[0])) {
                return facts::piece(expr, fact);
            }
            if let [name] = path[..] {
                return self.name(expr, name, maybe);
            }
            if let [name, field] = path[..]
                && self.names.outcome(name).is_some()
            {
                return self.outcome(expr, name, field, maybe);
            }
        }
        let (base, name, key) = match &expr.kind {
            Kind::Attr(_, name) if METHODS.split(' ').any(|method| method == name) => {
                return refuse(expr, format!("Python takes .{name} for a method"), &format!("write [\"{name}\"]"));
            }
            Kind::Attr(base, name) => (base, Some(name.as_str()), None),
            Kind::Index(base, key) => (base, key.literal(), Some(key)),
            _ => return refuse(expr, "this is no path", "write a name"),
        };
        let is_name = matches!(base.kind, Kind::Name(_));
        let base = self.value(base, maybe)?;
        // Where the first name is known, only the last one may be missing.
        let mark = if maybe && !(is_name && base.sure) { "?" } else { "" };
        let is_path = base.level == ATOM && base.text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
        let text = match (name, key) {
            (Some(name), _) if is_path && is_identifier(name) => format!("{}{mark}.{name}", base.text),
            (_, Some(key)) => match key.kind {
                Kind::Int(number) => format!("{}{mark}[{number}]", base.at(ATOM)),
                _ => format!("{}{mark}[{}]", base.at(ATOM), self.emit(key)?.text),
            },
            (name, None) => format!("{}{mark}[{:?}]", base.at(ATOM), name.unwrap_or_default()),
        };
        let ty = path.map_or(Ty::Unknown, |path| self.names.ty(&path));
        // Nothing with a dot may follow parentheses and literals.
        Ok(Piece { sure: false, ..Piece::new(text, if is_path { ATOM } else { FILTER }, ty) })
    }

    fn name(&mut self, expr: &Expr, name: &str, maybe: bool) -> Result<Piece, Problem> {
        if self.names.is_judged(name) {
            return Ok(Piece::new("result", ATOM, Ty::Map));
        }
        if let Some((why, hint)) = self.names.objection(name) {
            return refuse(expr, why, &hint);
        }
        let is_defined = self.names.defines(name);
        if !maybe && !is_defined {
            self.uses.push((name.to_owned(), expr.start, expr.end));
        }
        Ok(Piece { sure: is_defined, ..Piece::new(name, ATOM, self.names.ty(&[name])) })
    }

    pub(super) fn outcome(&mut self, expr: &Expr, name: &str, field: &str, maybe: bool) -> Result<Piece, Problem> {
        let is_judged = self.names.is_judged(name);
        if let Some((why, hint)) = self.names.objection(name).filter(|_| !is_judged) {
            return refuse(expr, why, &hint);
        }
        let Some(outcome) = self.names.outcome(name) else { return refuse(expr, "no task's result", "register one") };
        let base = if is_judged { "result" } else { name };
        let is_command = outcome.is_command && (is_judged || !outcome.is_looped);
        if maybe && field != "failed" {
            let hint = "here a skipped task's result has all its fields: ask `NAME is skipped`";
            return refuse(expr, "whether a result has a field", hint);
        }
        let piece = |ty| Ok(Piece::new(format!("{base}.{field}"), ATOM, ty));
        match field {
            "changed" | "failed" | "skipped" if !is_judged => piece(Ty::Bool),
            "rc" if is_command => piece(Ty::Number),
            "stdout" | "stderr" if is_command => piece(Ty::Text),
            "stdout_lines" | "stderr_lines" if is_command => {
                let stream = field.trim_end_matches("_lines");
                let text = format!(r#"{base}.{stream} | split(pat="\n") if {base}.{stream} else []"#);
                Ok(Piece::new(text, TERNARY, Ty::List))
            }
            _ => refuse(
                expr,
                format!("the field {field:?} of this result"),
                "a command's result has rc, stdout and stderr; any has changed, failed and skipped, a loop's no more",
            ),
        }
    }

    /// A value as Ansible prints it within text: truth values have capitals there.
    pub(super) fn printed(&self, expr: &Expr, piece: &Piece) -> Result<Piece, Problem> {
        match piece.ty {
            Ty::Bool => {
                let text = format!(r#""True" if {} else "False""#, piece.at(OR));
                Ok(Piece::new(text, TERNARY, Ty::Text))
            }
            Ty::Odd | Ty::List | Ty::Map | Ty::Null => {
                let hint = "join the list, or say what is printed: \"…\" if x else \"…\"";
                refuse(expr, "Python prints this value in its own way, such as None or ['a']", hint)
            }
            Ty::Text | Ty::Number | Ty::Unknown => Ok(piece.clone()),
        }
    }
}
