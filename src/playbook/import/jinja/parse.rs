//! Jinja's expressions, read to a tree. Its precedence is Jinja's own: `or`, `and`, `not`, comparisons, sums, `~`,
//! products, and tightest filters and tests.

use super::Problem;
use super::lex::{Placed, Token};

#[derive(Debug, Clone, PartialEq)]
pub(super) struct Expr {
    pub(super) kind: Kind,
    pub(super) start: usize,
    pub(super) end: usize,
}

#[derive(Debug, Clone, PartialEq)]
pub(super) enum Kind {
    Name(String),
    Attr(Box<Expr>, String),
    Index(Box<Expr>, Box<Expr>),
    Text(String),
    Int(i64),
    Bool(bool),
    Null,
    List(Vec<Expr>),
    /// A function, a lookup or a method of Python's.
    Call,
    Filter(Box<Expr>, String, Vec<Expr>),
    Test(Box<Expr>, String, Vec<Expr>),
    Not(Box<Expr>),
    Binary(&'static str, Box<Expr>, Box<Expr>),
    If(Box<Expr>, Box<Expr>, Box<Expr>),
}

impl Expr {
    /// The text that it is, where it is nothing else.
    pub(super) fn literal(&self) -> Option<&str> {
        if let Kind::Text(text) = &self.kind { Some(text) } else { None }
    }

    /// The names of a path such as `a.b['c']`.
    pub(super) fn path(&self) -> Option<Vec<&str>> {
        match &self.kind {
            Kind::Name(name) => Some(vec![name]),
            Kind::Attr(base, name) => base.path().map(|path| [path, vec![name]].concat()),
            Kind::Index(base, key) => Some([base.path()?, vec![key.literal()?]].concat()),
            _ => None,
        }
    }
}

const WORDS: [&str; 8] = ["and", "or", "not", "in", "is", "if", "else", "elif"];
/// Operators, the tighter ones later; `not` stands between `and` and the comparisons.
const BINARY: [&[&str]; 7] = [
    &["or"],
    &["and"],
    &[],
    &["==", "!=", "<", "<=", ">", ">=", "in", "not in"],
    &["+", "-"],
    &["~"],
    &["*", "//", "%"],
];
const NOT: usize = 2;
const COMPARE: usize = 3;
/// How deep brackets and `not` may nest; tera takes little more.
const MAX_DEPTH: usize = 24;

pub(super) fn parse(tokens: &[Placed], start: usize, end: usize) -> Result<Expr, Problem> {
    let mut parser = Parser { tokens, at: 0, depth: 0, start, end };
    let expr = parser.expr()?;
    if parser.at < tokens.len() { Err(parser.unexpected()) } else { Ok(expr) }
}

struct Parser<'a> {
    tokens: &'a [Placed],
    at: usize,
    depth: usize,
    start: usize,
    end: usize,
}

impl Parser<'_> {
    fn peek(&self) -> Option<&Token> {
        self.tokens.get(self.at).map(|placed| &placed.token)
    }

    fn is_op(&self, op: &str) -> bool {
        matches!(self.peek(), Some(Token::Op(next)) if *next == op)
    }

    fn take_op(&mut self, op: &str) -> bool {
        let is = self.is_op(op);
        self.at += usize::from(is);
        is
    }

    fn take_word(&mut self, word: &str) -> bool {
        let is = matches!(self.peek(), Some(Token::Name(next)) if next == word);
        self.at += usize::from(is);
        is
    }

    fn expect(&mut self, op: &str) -> Result<(), Problem> {
        if self.take_op(op) { Ok(()) } else { Err(self.unexpected()) }
    }

    fn name(&mut self) -> Result<String, Problem> {
        match self.peek() {
            Some(Token::Name(name)) if !WORDS.contains(&name.as_str()) => {
                let name = name.clone();
                self.at += 1;
                Ok(name)
            }
            _ => Err(self.unexpected()),
        }
    }

    fn here(&self) -> usize {
        self.tokens.get(self.at).map_or(self.end, |placed| placed.start)
    }

    fn unexpected(&self) -> Problem {
        match self.tokens.get(self.at) {
            Some(placed) => Problem::new(placed.start, placed.end, "this is not expected here", "write it more simply"),
            None => Problem::new(self.start, self.end, "the expression ends too early", "complete it"),
        }
    }

    fn wrap(&self, start: usize, kind: Kind) -> Expr {
        let last = self.at.checked_sub(1).and_then(|last| self.tokens.get(last));
        Expr { kind, start, end: last.map_or(self.end, |placed| placed.end).max(start) }
    }

    /// `a if b else c`, and whatever binds tighter.
    fn expr(&mut self) -> Result<Expr, Problem> {
        self.deeper()?;
        let mut then = self.or(0)?;
        if self.take_word("if") {
            let condition = self.or(0)?;
            if !self.take_word("else") {
                return Err(self.unexpected());
            }
            let other = self.expr()?;
            then = self.wrap(then.start, Kind::If(Box::new(then), Box::new(condition), Box::new(other)));
        }
        self.depth -= 1;
        Ok(then)
    }

    fn deeper(&mut self) -> Result<(), Problem> {
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            return Err(Problem::new(self.here(), self.end, "the expression nests too deep", "split it up"));
        }
        Ok(())
    }

    /// Operators that bind at least as tight as this. `a < b < c` is two comparisons in Python, and is left to be written so.
    fn or(&mut self, tightness: usize) -> Result<Expr, Problem> {
        let start = self.here();
        let mut left = if tightness <= NOT && self.take_word("not") {
            self.deeper()?;
            let inner = self.or(NOT)?;
            self.depth -= 1;
            self.wrap(start, Kind::Not(Box::new(inner)))
        } else {
            self.postfix()?
        };
        let mut most = BINARY.len();
        while let Some((at, op)) = self.operator().filter(|(at, _)| (tightness..most).contains(at)) {
            self.at += if op == "not in" { 2 } else { 1 };
            let right = self.or(at + 1)?;
            left = self.wrap(start, Kind::Binary(op, Box::new(left), Box::new(right)));
            most = if at == COMPARE { COMPARE } else { at + 1 };
        }
        Ok(left)
    }

    /// The operator that comes next, and how tight it binds.
    fn operator(&self) -> Option<(usize, &'static str)> {
        let text = match self.peek()? {
            Token::Op(op) => *op,
            Token::Name(name) if name == "not" => "not in",
            Token::Name(name) => name,
            _ => return None,
        };
        let is_whole = text != "not in"
            || matches!(self.tokens.get(self.at + 1).map(|placed| &placed.token), Some(Token::Name(word)) if word == "in");
        let find = |(at, ops): (usize, &&[&'static str])| Some((at, *ops.iter().find(|op| **op == text)?));
        BINARY.iter().enumerate().find_map(find).filter(|_| is_whole)
    }

    /// A value with what may follow it: `.name`, `[…]`, `(…)`, `| filter`, `is test`.
    fn postfix(&mut self) -> Result<Expr, Problem> {
        let start = self.here();
        let mut expr = self.primary()?;
        loop {
            let kind = if self.take_op(".") {
                Kind::Attr(Box::new(expr), self.name()?)
            } else if self.take_op("[") {
                let key = self.expr()?;
                self.expect("]")?;
                Kind::Index(Box::new(expr), Box::new(key))
            } else if self.is_op("(") {
                self.args()?;
                Kind::Call
            } else if self.take_op("|") {
                let name = self.name()?;
                Kind::Filter(Box::new(expr), name, self.args()?)
            } else if self.take_word("is") {
                let negated = self.take_word("not");
                let name = self.name()?;
                let test = Kind::Test(Box::new(expr), name, self.args()?);
                if negated { Kind::Not(Box::new(self.wrap(start, test))) } else { test }
            } else {
                return Ok(expr);
            };
            expr = self.wrap(start, kind);
        }
    }

    fn args(&mut self) -> Result<Vec<Expr>, Problem> {
        if self.take_op("(") { self.items(")") } else { Ok(Vec::new()) }
    }

    fn primary(&mut self) -> Result<Expr, Problem> {
        let start = self.here();
        let minus = self.take_op("-");
        let kind = match self.peek() {
            Some(Token::Int(number)) => Kind::Int(if minus { -number } else { *number }),
            Some(_) if minus => return Err(self.unexpected()),
            Some(Token::Name(name)) => match name.as_str() {
                "true" | "True" => Kind::Bool(true),
                "false" | "False" => Kind::Bool(false),
                "none" | "None" => Kind::Null,
                _ => {
                    let name = self.name()?;
                    return Ok(self.wrap(start, Kind::Name(name)));
                }
            },
            Some(Token::Text(text)) => Kind::Text(text.clone()),
            Some(Token::Op("(")) => {
                self.at += 1;
                let inner = self.expr()?;
                self.expect(")")?;
                return Ok(self.wrap(start, inner.kind));
            }
            Some(Token::Op("[")) => {
                self.at += 1;
                let items = self.items("]")?;
                return Ok(self.wrap(start, Kind::List(items)));
            }
            _ => return Err(self.unexpected()),
        };
        self.at += 1;
        Ok(self.wrap(start, kind))
    }

    /// Expressions with commas between them, up to the closing bracket.
    fn items(&mut self, close: &str) -> Result<Vec<Expr>, Problem> {
        let mut items = Vec::new();
        while !self.take_op(close) {
            items.push(self.expr()?);
            if !self.is_op(close) {
                self.expect(",")?;
            }
        }
        Ok(items)
    }
}
