//! Operators, and the choice between two values.

use super::emit::{AND, ATOM, COMPARE, Emitter, FILTER, IN, NOT, OR, PRODUCT, Piece, SUM, TERNARY, refuse};
use super::parse::{Expr, Kind};
use super::{Problem, Ty, facts};

impl Emitter<'_> {
    pub(super) fn not(&mut self, inner: &Expr) -> Result<Piece, Problem> {
        match &inner.kind {
            Kind::Test(base, name, args) => self.test(inner, base, name, args, true),
            Kind::Binary("in", left, right) => self.binary(inner, "not in", left, right),
            _ => Ok(Piece::new(format!("not {}", self.emit(inner)?.at(FILTER)), NOT, Ty::Bool)),
        }
    }

    pub(super) fn choice(&mut self, then: &Expr, condition: &Expr, other: &Expr) -> Result<Piece, Problem> {
        let (then, condition, other) = (self.emit(then)?, self.emit(condition)?, self.emit(other)?);
        let text = format!("{} if {} else {}", then.at(OR), condition.at(OR), other.at(OR));
        Ok(Piece { sure: then.sure && other.sure, ..Piece::new(text, TERNARY, then.ty.or(other.ty)) })
    }

    pub(super) fn binary(&mut self, expr: &Expr, op: &str, left: &Expr, right: &Expr) -> Result<Piece, Problem> {
        let is_own = left.path().is_some_and(|path| self.names.defines(path[0]));
        if let Some(piece) = facts::comparison(op, left, right).filter(|_| !is_own) {
            return Ok(piece);
        }
        let (a, b) = (self.emit(left)?, self.emit(right)?);
        let tys = [a.ty, b.ty];
        let infix = |level: u8, ty| Ok(Piece::new(format!("{} {op} {}", a.at(level), b.at(level + 1)), level, ty));
        match op {
            "or" | "and" => {
                let piece = infix(if op == "or" { OR } else { AND }, a.ty.or(b.ty))?;
                Ok(Piece { sure: a.sure && b.sure, ..piece })
            }
            "==" | "!=" if tys.contains(&Ty::Bool) && tys.contains(&Ty::Number) => {
                refuse(expr, "a truth value compared with a number", "ask for the truth value itself")
            }
            "==" | "!=" => infix(COMPARE, Ty::Bool),
            // Values of different types have an order in tera, and none in Python.
            "<" | "<=" | ">" | ">=" if tys == [Ty::Text; 2] || tys.contains(&Ty::Number) && !mixes(tys) => {
                infix(COMPARE, Ty::Bool)
            }
            "<" | "<=" | ">" | ">=" => {
                refuse(expr, "the order of values that may be of any type", "make a number of it: x | int > 5")
            }
            "in" | "not in" => Ok(Piece::new(format!("{} {op} {}", a.at(SUM), b.at(SUM)), IN, Ty::Bool)),
            "~" => self.joined(left, right, &a, &b),
            "+" if tys.contains(&Ty::Text) => self.joined(left, right, &a, &b),
            "+" if tys == [Ty::List; 2] => {
                Ok(Piece::new(format!("[...{}, ...{}]", a.at(OR), b.at(OR)), ATOM, Ty::List))
            }
            "+" | "-" if tys.contains(&Ty::Number) && !mixes(tys) => infix(SUM, Ty::Number),
            _ => refuse(
                expr,
                format!("`{op}` of what may be of any type"),
                "x ~ y joins texts; x | int makes a number of one",
            ),
        }
    }

    fn joined(&self, left: &Expr, right: &Expr, a: &Piece, b: &Piece) -> Result<Piece, Problem> {
        let (a, b) = (self.printed(left, a)?, self.printed(right, b)?);
        Ok(Piece::new(format!("{} ~ {}", a.at(PRODUCT), b.at(PRODUCT + 1)), PRODUCT, Ty::Text))
    }
}

/// Whether a number stands beside what is known to be none.
fn mixes(tys: [Ty; 2]) -> bool {
    tys.iter().any(|ty| !matches!(ty, Ty::Number | Ty::Unknown))
}
