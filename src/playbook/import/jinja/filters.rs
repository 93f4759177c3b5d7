//! What stands behind `|` and `is`.

use super::emit::{COMPARE, Emitter, FILTER, IN, NOT, OR, Piece, TERNARY, refuse};
use super::parse::{Expr, Kind};
use super::{Problem, Ty, facts};

/// Where those that are translated are listed.
pub(super) const HINT: &str = "docs/MIGRATING.md lists those that are translated; write it in tera's words";

impl Emitter<'_> {
    /// Writes `base | name(args)`.
    pub(super) fn filter(&mut self, expr: &Expr, base: &Expr, name: &str, args: &[Expr]) -> Result<Piece, Problem> {
        if matches!(name, "default" | "d") {
            return self.default(expr, base, args);
        }
        let base = self.emit(base)?;
        let args = args.iter().map(|arg| self.emit(arg)).collect::<Result<Vec<_>, _>>()?;
        let apply = |filter: String, ty| {
            Ok(Piece { sure: base.sure, ..Piece::new(format!("{} | {filter}", base.at(FILTER)), FILTER, ty) })
        };
        let is_text = matches!(base.ty, Ty::Text | Ty::Unknown);
        match (name, &args[..]) {
            ("bool", []) if base.ty == Ty::Bool => Ok(base),
            // True is what Ansible takes for it: true, 1, and the texts yes, on, 1, true in any case.
            ("bool", []) => {
                let print = if base.sure { "str" } else { r#"json | trim(pat="\"")"# };
                let text = format!(r#"({} | {print} | lower) in ["true", "yes", "on", "1"]"#, base.at(FILTER));
                Ok(Piece::new(text, IN, Ty::Bool))
            }
            ("list", []) if base.ty == Ty::List => Ok(base),
            ("string", []) if base.ty == Ty::Text => Ok(base),
            ("lower" | "upper" | "capitalize" | "trim", []) if is_text => apply(name.to_owned(), Ty::Text),
            ("int", []) if is_text || base.ty == Ty::Number => apply("int".to_owned(), Ty::Number),
            ("length" | "count", []) if base.ty != Ty::Number => apply("length".to_owned(), Ty::Number),
            ("first" | "last", []) if base.ty == Ty::List => apply(name.to_owned(), Ty::Unknown),
            ("basename", []) if is_text => apply(r#"split(pat="/") | last"#.to_owned(), Ty::Text),
            ("join", []) if matches!(base.ty, Ty::List | Ty::Unknown) => apply("join".to_owned(), Ty::Text),
            ("join", [by]) if matches!(base.ty, Ty::List | Ty::Unknown) => {
                apply(format!("join(sep={})", by.text), Ty::Text)
            }
            ("split", [by]) if is_text => apply(format!("split(pat={})", by.text), Ty::List),
            ("replace", [from, to]) if is_text => {
                apply(format!("replace(from={}, to={})", from.text, to.text), Ty::Text)
            }
            ("ternary", [then, other]) => {
                let text = format!("{} if {} else {}", then.at(OR), base.at(OR), other.at(OR));
                Ok(Piece::new(text, TERNARY, then.ty.or(other.ty)))
            }
            _ => refuse(expr, format!("the filter {name:?}, used like this"), HINT),
        }
    }

    fn default(&mut self, expr: &Expr, base: &Expr, args: &[Expr]) -> Result<Piece, Problem> {
        let (value, boolean) = match args {
            [value] => (value, ""),
            [value, Expr { kind: Kind::Bool(true), .. }] => (value, ", boolean=true"),
            _ => return refuse(expr, "`default`, used like this", HINT),
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
        args: &[Expr],
        negated: bool,
    ) -> Result<Piece, Problem> {
        let is = if negated { "is not" } else { "is" };
        let plain = |piece: Piece, test: &str| Piece::new(format!("{} {is} {test}", piece.at(FILTER)), IN, Ty::Bool);
        let is_fact = |path: Vec<&str>| !self.names.defines(path[0]) && facts::named(&path).is_some();
        match (name, args) {
            ("defined" | "undefined", []) if base.path().is_some_and(is_fact) => {
                refuse(expr, "whether Ansible has a fact", "a node's `facts` are always the same ones")
            }
            ("defined" | "undefined", []) => self.value(base, true).map(|base| plain(base, name)),
            ("none" | "string", []) => self.emit(base).map(|base| plain(base, name)),
            ("mapping", []) => self.emit(base).map(|base| plain(base, "map")),
            ("changed" | "skipped" | "failed" | "succeeded" | "success", []) => self.ended(expr, base, name, negated),
            _ => refuse(expr, format!("the test {name:?}, used like this"), HINT),
        }
    }

    fn ended(&mut self, expr: &Expr, base: &Expr, name: &str, negated: bool) -> Result<Piece, Problem> {
        let Kind::Name(register) = &base.kind else {
            return refuse(expr, "how something ended that is no task", "name a registered result");
        };
        let is_success = matches!(name, "succeeded" | "success");
        let negated = negated ^ is_success;
        let field = if is_success { "failed" } else { name };
        if self.names.is_judged(register) && field == "failed" {
            // Within its own judgement, only how a program ended is known; what else fails is not judged.
            let op = if negated { "==" } else { "!=" };
            return Ok(Piece::new(format!("result.rc {op} 0"), COMPARE, Ty::Bool));
        }
        let piece = self.outcome(expr, register, field, false)?;
        Ok(if negated { Piece::new(format!("not {}", piece.text), NOT, Ty::Bool) } else { piece })
    }
}
