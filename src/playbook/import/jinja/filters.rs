//! What stands behind `|` and `is`, and Python's methods.

use super::emit::{COMPARE, Emitter, FILTER, IN, NOT, OR, Piece, TERNARY, quote, refuse};
use super::parse::{Args, Expr, Kind};
use super::{Problem, Ty, facts};

impl Emitter<'_> {
    /// Writes `base | name(args)`.
    pub(super) fn filter(&mut self, expr: &Expr, base: &Expr, name: &str, args: &Args) -> Result<Piece, Problem> {
        if matches!(name, "default" | "d") {
            return self.default(expr, base, args);
        }
        let base = self.emit(base)?;
        let apply = |filter: String, ty| {
            Ok(Piece { sure: base.sure, ..Piece::new(format!("{} | {filter}", base.at(FILTER)), FILTER, ty) })
        };
        let is_text = matches!(base.ty, Ty::Text | Ty::Unknown);
        match (name, &args.positional[..]) {
            _ if !args.named.is_empty() => refuse(expr, format!("the filter {name:?} with named arguments"), HINT),
            ("bool", []) if base.ty == Ty::Bool => Ok(base),
            // True is what Ansible takes for it: true, 1, and the texts yes, on, 1, true in any case.
            ("bool", []) => {
                let print = if base.sure { "str" } else { r#"json | trim(pat="\"")"# };
                let text = format!(r#"({} | {print} | lower) in ["true", "yes", "on", "1"]"#, base.at(FILTER));
                Ok(Piece::new(text, IN, Ty::Bool))
            }
            ("mandatory", []) => Ok(base),
            ("list", []) if base.ty == Ty::List => Ok(base),
            ("string", []) if base.ty == Ty::Text => Ok(base),
            ("lower" | "upper" | "capitalize" | "trim", []) if is_text => apply(name.to_owned(), Ty::Text),
            ("int", []) if matches!(base.ty, Ty::Text | Ty::Number | Ty::Unknown) => {
                apply("int".to_owned(), Ty::Number)
            }
            ("length" | "count", []) if base.ty != Ty::Number => apply("length".to_owned(), Ty::Number),
            ("first" | "last", []) if matches!(base.ty, Ty::List | Ty::Unknown) => apply(name.to_owned(), Ty::Unknown),
            ("basename", []) if is_text => apply(r#"split(pat="/") | last"#.to_owned(), Ty::Text),
            ("join", separator @ ([] | [_])) if matches!(base.ty, Ty::List | Ty::Unknown) => {
                let separator = separator.first().map(|text| self.emit(text)).transpose()?;
                let separator = separator.map(|piece| format!("(sep={})", piece.text)).unwrap_or_default();
                Ok(Piece::new(format!("{} | join{separator}", base.at(FILTER)), FILTER, Ty::Text))
            }
            ("split", [by]) if is_text => {
                let by = self.emit(by)?;
                Ok(Piece::new(format!("{} | split(pat={})", base.at(FILTER), by.text), FILTER, Ty::List))
            }
            ("replace", [from, to]) if is_text => {
                let (from, to) = (self.emit(from)?, self.emit(to)?);
                let text = format!("{} | replace(from={}, to={})", base.at(FILTER), from.text, to.text);
                Ok(Piece::new(text, FILTER, Ty::Text))
            }
            ("ternary", [then, other]) => {
                let (then, other) = (self.emit(then)?, self.emit(other)?);
                let text = format!("{} if {} else {}", then.at(OR), base.at(OR), other.at(OR));
                Ok(Piece::new(text, TERNARY, then.ty.or(other.ty)))
            }
            _ => refuse(expr, format!("the filter {name:?}, used like this"), HINT),
        }
    }

    fn default(&mut self, expr: &Expr, base: &Expr, args: &Args) -> Result<Piece, Problem> {
        let value = match (&args.positional[..], &args.named[..]) {
            ([value] | [value, _], []) => value,
            _ => return refuse(expr, "`default` without a value", "say the value"),
        };
        if matches!(&value.kind, Kind::Name(name) if name == "omit") {
            let hint = "make two tasks with a `when` each, or give the value";
            return refuse(expr, "a field cannot be left out by its value", hint);
        }
        let boolean = match args.positional.get(1).map(|arg| &arg.kind) {
            None | Some(Kind::Bool(false)) => "",
            Some(Kind::Bool(true)) => ", boolean=true",
            Some(_) => return refuse(expr, "a second argument that is no literal", "write true or false"),
        };
        let base = self.value(base, true)?;
        let value = self.emit(value)?;
        let text = format!("{} | default(value={}{boolean})", base.at(FILTER), value.text);
        Ok(Piece { sure: value.sure, ..Piece::new(text, FILTER, base.ty.or(value.ty)) })
    }

    /// Writes `base is name(args)`, or with `negated` its contrary.
    pub(super) fn test(
        &mut self,
        expr: &Expr,
        base: &Expr,
        name: &str,
        args: &Args,
        negated: bool,
    ) -> Result<Piece, Problem> {
        let is = if negated { "is not" } else { "is" };
        let plain = |piece: &Piece, test: &str| Piece::new(format!("{} {is} {test}", piece.at(FILTER)), IN, Ty::Bool);
        let fact = base
            .path()
            .filter(|path| !self.names.defines(path[0]))
            .and_then(|path| facts::named(&path).map(str::to_owned));
        match (name, &args.positional[..]) {
            _ if !args.named.is_empty() => refuse(expr, format!("the test {name:?} with named arguments"), HINT),
            ("defined" | "undefined", []) if fact.is_some() => {
                refuse(expr, "whether Ansible has a fact", "a node's `facts` are always the same ones")
            }
            ("defined" | "undefined", []) => Ok(plain(&self.value(base, true)?, name)),
            ("changed" | "skipped" | "failed" | "succeeded" | "success", []) => self.ended(expr, base, name, negated),
            ("none", []) => Ok(plain(&self.emit(base)?, "none")),
            ("string", []) => Ok(plain(&self.emit(base)?, "string")),
            ("mapping", []) => Ok(plain(&self.emit(base)?, "map")),
            ("in", [list]) => self.binary(expr, if negated { "not in" } else { "in" }, base, list),
            ("search" | "match", [pattern]) => {
                let found = pattern.literal().filter(|text| !text.is_empty() && is_plain(text)).and_then(quote);
                let base = self.emit(base)?;
                match found.filter(|_| base.ty == Ty::Text) {
                    Some(text) if name == "match" => Ok(plain(&base, &format!("starting_with(pat={text})"))),
                    Some(text) => Ok(plain(&base, &format!("containing(pat={text})"))),
                    None => refuse(expr, "a regular expression", "a `command` task can run grep"),
                }
            }
            ("version" | "version_compare", [version, op @ ..])
                if fact.as_deref() == Some("distribution_major_version") =>
            {
                let op = match op.first().map(Expr::literal) {
                    None | Some(Some("==" | "eq")) => "==",
                    Some(Some("!=" | "ne")) => "!=",
                    Some(Some(">" | "gt")) => ">",
                    Some(Some(">=" | "ge")) => ">=",
                    Some(Some("<" | "lt")) => "<",
                    Some(Some("<=" | "le")) => "<=",
                    Some(_) => return refuse(expr, "this comparison", HINT),
                };
                let Some(number) = version.literal().and_then(|text| text.parse::<u32>().ok()) else {
                    return refuse(expr, "a release that is no whole number", "compare facts.os.version");
                };
                let piece = Piece::new(format!("facts.os.version | int {op} {number}"), COMPARE, Ty::Bool);
                Ok(if negated { Piece::new(format!("not {}", piece.at(FILTER)), NOT, Ty::Bool) } else { piece })
            }
            _ => refuse(expr, format!("the test {name:?}, used like this"), HINT),
        }
    }

    /// How a task ended.
    fn ended(&mut self, expr: &Expr, base: &Expr, name: &str, negated: bool) -> Result<Piece, Problem> {
        let path = base.path().unwrap_or_default();
        let ([register], false) = (&path[..], path.is_empty()) else {
            return refuse(expr, "how something ended that is no task", "name a registered result");
        };
        let is_success = matches!(name, "succeeded" | "success");
        let negated = negated ^ is_success;
        let field = if is_success { "failed" } else { name };
        if self.names.is_judged(register) && field == "failed" {
            // Within its own judgement, only how the program ended is known.
            let rc = self.outcome(expr, register, "rc", false)?;
            let op = if negated { "==" } else { "!=" };
            return Ok(Piece::new(format!("{} {op} 0", rc.text), COMPARE, Ty::Bool));
        }
        let piece = self.outcome(expr, register, field, false)?;
        Ok(if negated { Piece::new(format!("not {}", piece.text), NOT, Ty::Bool) } else { piece })
    }

    /// Writes `callee(args)`.
    pub(super) fn call(&mut self, expr: &Expr, callee: &Expr, args: &Args) -> Result<Piece, Problem> {
        let Kind::Attr(base, method) = &callee.kind else {
            let hint = "give the value as a variable, or bring a file with a `file` task";
            return refuse(expr, "a function or lookup of Ansible's", hint);
        };
        let text = self.emit(base)?;
        if text.ty != Ty::Text && text.ty != Ty::Unknown {
            return refuse(expr, format!("the method {method:?} of what is no text"), HINT);
        }
        match (method.as_str(), &args.positional[..]) {
            ("lower" | "upper" | "capitalize", []) | ("split", [_]) | ("replace", [_, _]) => {
                self.filter(expr, base, method, args)
            }
            ("strip", []) => self.filter(expr, base, "trim", args),
            ("startswith" | "endswith", [other]) => {
                let other = self.emit(other)?;
                let test = if method == "startswith" { "starting_with" } else { "ending_with" };
                Ok(Piece::new(format!("{} is {test}(pat={})", text.at(FILTER), other.text), IN, Ty::Bool))
            }
            _ => refuse(expr, format!("the method {method:?}, used like this"), HINT),
        }
    }
}

const HINT: &str = "docs/MIGRATING.md lists those that are translated; write it in tera's words";

/// Whether a pattern has no sign that a regular expression reads as more than itself.
fn is_plain(pattern: &str) -> bool {
    !pattern.contains(['.', '^', '$', '*', '+', '?', '{', '}', '[', ']', '\\', '|', '(', ')'])
}
