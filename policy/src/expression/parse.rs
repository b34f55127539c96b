//! Expressions as trees.

use super::token::{Token, Words};
use super::{EXPRESSION_BYTES_MAX, Mistake, Name};
use crate::parse::shorten;
use crate::violation::did_you_mean;

/// How deep an expression may nest. The parser and all that walks the tree recurse.
const DEPTH_MAX: usize = 24;

/// Numbers, names and operators of one expression: twice what its instructions can be.
pub(super) const NODES_MAX: usize = 128;

/// Part of an expression.
#[derive(Debug)]
pub(super) struct Node {
    /// No other part of the expression has it; below [`NODES_MAX`].
    pub(super) id: usize,
    /// Where it stands: an operator's own place, in characters from 1.
    pub(super) column: usize,
    pub(super) kind: NodeKind,
}

#[derive(Debug)]
pub(super) enum NodeKind {
    Boolean(bool),
    /// A number as written, its sign included.
    Integer {
        value: i128,
        unsigned: bool,
    },
    /// A value of the hook.
    Named(Name),
    Not(Box<Node>),
    Negative(Box<Node>),
    Binary(Binary, Box<Node>, Box<Node>),
    /// The condition, what holds if it does, what holds otherwise.
    Choice(Box<[Node; 3]>),
    /// Whether the value is one of a list.
    Member(Box<Node>, Vec<Node>),
    /// Another type of the same bits.
    Convert(Conversion, Box<Node>),
    /// All bits turned round.
    BitNot(Box<Node>),
}

/// What joins two values.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Binary {
    Or,
    And,
    Equal,
    Unequal,
    Less,
    LessEqual,
    Greater,
    GreaterEqual,
    Add,
    Subtract,
    BitAnd,
    BitOr,
    BitXor,
}

impl Binary {
    /// As it is written.
    pub(super) fn name(self) -> &'static str {
        let signs = [OR, AND, RELATIONS.as_slice(), SUMS];
        let sign = signs.concat().into_iter().find(|(_, binary)| *binary == self);
        let function = || FUNCTIONS.iter().find(|(_, function)| *function == Function::Joins(self));
        sign.or_else(|| function().map(|(name, _)| (*name, self))).map_or("", |(name, _)| name)
    }
}

/// What a conversion makes of an integer: bytes and sign.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Conversion {
    pub(super) width: u8,
    pub(super) signed: bool,
}

/// What a function does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Function {
    Converts(Conversion),
    Joins(Binary),
    BitNot,
}

/// Bit operations have the names of the established language, and those that CEL has elsewhere.
const FUNCTIONS: [(&str, Function); 14] = [
    ("int", Function::Converts(Conversion { width: 8, signed: true })),
    ("uint", Function::Converts(Conversion { width: 8, signed: false })),
    ("int32", Function::Converts(Conversion { width: 4, signed: true })),
    ("uint32", Function::Converts(Conversion { width: 4, signed: false })),
    ("int64", Function::Converts(Conversion { width: 8, signed: true })),
    ("uint64", Function::Converts(Conversion { width: 8, signed: false })),
    ("and", Function::Joins(Binary::BitAnd)),
    ("or", Function::Joins(Binary::BitOr)),
    ("xor", Function::Joins(Binary::BitXor)),
    ("not", Function::BitNot),
    ("math.bitAnd", Function::Joins(Binary::BitAnd)),
    ("math.bitOr", Function::Joins(Binary::BitOr)),
    ("math.bitXor", Function::Joins(Binary::BitXor)),
    ("math.bitNot", Function::BitNot),
];

const OR: &[(&str, Binary)] = &[("||", Binary::Or)];
const AND: &[(&str, Binary)] = &[("&&", Binary::And)];
const RELATIONS: [(&str, Binary); 6] = [
    ("==", Binary::Equal),
    ("!=", Binary::Unequal),
    ("<=", Binary::LessEqual),
    (">=", Binary::GreaterEqual),
    ("<", Binary::Less),
    (">", Binary::Greater),
];
const SUMS: &[(&str, Binary)] = &[("+", Binary::Add), ("-", Binary::Subtract)];

const VALUES: &str =
    "a value: an argument (`arg0`), an integer, `true`, `false`, a function, `(`, `-` or `!`";

impl Node {
    /// The value of the hook that it is.
    pub(super) fn name(&self) -> Option<Name> {
        if let NodeKind::Named(name) = self.kind { Some(name) } else { None }
    }

    /// Calls `visit` for this part and all parts of it, from left to right.
    pub(super) fn walk(&self, visit: &mut impl FnMut(&Self)) {
        visit(self);
        match &self.kind {
            NodeKind::Boolean(_) | NodeKind::Integer { .. } | NodeKind::Named(_) => {}
            NodeKind::Not(inner)
            | NodeKind::Negative(inner)
            | NodeKind::Convert(_, inner)
            | NodeKind::BitNot(inner) => inner.walk(visit),
            NodeKind::Binary(_, left, right) => {
                left.walk(visit);
                right.walk(visit);
            }
            NodeKind::Choice(parts) => {
                for part in &**parts {
                    part.walk(visit);
                }
            }
            NodeKind::Member(value, list) => {
                value.walk(visit);
                for one in list {
                    one.walk(visit);
                }
            }
        }
    }
}

/// The tree of a text.
pub(super) fn parse(text: &str) -> Result<Node, Mistake> {
    if text.len() > EXPRESSION_BYTES_MAX {
        let found = format!("an expression of {} bytes", text.len());
        return Err(Mistake::new(0, found, format!("at most {EXPRESSION_BYTES_MAX}")));
    }
    let mut words = Words::new(text);
    let (token, column) = words.next()?;
    if token == Token::End {
        return Err(Mistake::new(0, "an empty expression", "a condition, as `arg0 == arg1`"));
    }
    let mut parser = Parser { words, token, column, depth: 0, nodes: 0 };
    let root = parser.expression()?;
    if parser.token != Token::End {
        return Err(parser.unexpected("an operator, or the end"));
    }
    Ok(root)
}

struct Parser<'a> {
    words: Words<'a>,
    /// The word that comes next, and where.
    token: Token<'a>,
    column: usize,
    depth: usize,
    nodes: usize,
}

impl Parser<'_> {
    fn unexpected(&self, allowed: &str) -> Mistake {
        let found = match self.token {
            Token::End => "the end".to_owned(),
            Token::Sign(sign) => format!("`{sign}`"),
            Token::Name(name) => format!("`{}`", shorten(name)),
            Token::Number { value, unsigned } => format!("`{value}{}`", if unsigned { "u" } else { "" }),
        };
        Mistake::new(self.column, found, allowed)
    }

    fn advance(&mut self) -> Result<(), Mistake> {
        (self.token, self.column) = self.words.next()?;
        Ok(())
    }

    /// Passes over a sign, if it comes next.
    fn take(&mut self, sign: &str) -> Result<bool, Mistake> {
        let found = matches!(self.token, Token::Sign(next) if next == sign);
        if found {
            self.advance()?;
        }
        Ok(found)
    }

    fn expect(&mut self, sign: &str) -> Result<(), Mistake> {
        if self.take(sign)? { Ok(()) } else { Err(self.unexpected(&format!("`{sign}`"))) }
    }

    fn node(&mut self, column: usize, kind: NodeKind) -> Result<Node, Mistake> {
        let id = self.nodes;
        self.nodes += 1;
        if id >= NODES_MAX {
            let allowed = format!("at most {NODES_MAX} numbers, arguments and operators");
            let mistake = Mistake::new(column, "a part too many", allowed);
            return Err(mistake.hint("filters of a selector are ANDed: write several"));
        }
        Ok(Node { id, column, kind })
    }

    /// Reads something that stands within something else.
    fn within<T>(&mut self, read: impl FnOnce(&mut Self) -> Result<T, Mistake>) -> Result<T, Mistake> {
        self.depth += 1;
        if self.depth > DEPTH_MAX {
            let found = format!("more than {DEPTH_MAX} parentheses and signs around one value");
            return Err(Mistake::new(self.column, found, "fewer of them"));
        }
        let inner = read(self);
        self.depth -= 1;
        inner
    }

    fn expression(&mut self) -> Result<Node, Mistake> {
        self.within(|parser| {
            let condition = parser.disjunction()?;
            let column = parser.column;
            if !parser.take("?")? {
                return Ok(condition);
            }
            let then = parser.disjunction()?;
            parser.expect(":")?;
            let otherwise = parser.expression()?;
            parser.node(column, NodeKind::Choice(Box::new([condition, then, otherwise])))
        })
    }

    /// Parts with the operators of one rank between them.
    fn chain(
        &mut self,
        operators: &[(&'static str, Binary)],
        part: fn(&mut Self) -> Result<Node, Mistake>,
    ) -> Result<Node, Mistake> {
        let mut left = part(self)?;
        loop {
            let column = self.column;
            let found =
                operators.iter().find(|(sign, _)| matches!(self.token, Token::Sign(next) if next == *sign));
            let Some((_, binary)) = found else { return Ok(left) };
            self.advance()?;
            let right = part(self)?;
            left = self.node(column, NodeKind::Binary(*binary, Box::new(left), Box::new(right)))?;
        }
    }

    fn disjunction(&mut self) -> Result<Node, Mistake> {
        self.chain(OR, |parser| parser.chain(AND, Self::relation))
    }

    fn relation(&mut self) -> Result<Node, Mistake> {
        let mut left = self.sum()?;
        loop {
            let column = self.column;
            let found =
                RELATIONS.iter().find(|(sign, _)| matches!(self.token, Token::Sign(next) if next == *sign));
            let kind = if let Some((_, binary)) = found {
                self.advance()?;
                NodeKind::Binary(*binary, Box::new(left), Box::new(self.sum()?))
            } else if self.token == Token::Name("in") {
                self.advance()?;
                self.expect("[")?;
                let list = self.list("]")?;
                if list.is_empty() {
                    return Err(Mistake::new(column, "an empty list", "a list with at least one value"));
                }
                NodeKind::Member(Box::new(left), list)
            } else {
                return Ok(left);
            };
            left = self.node(column, kind)?;
        }
    }

    fn sum(&mut self) -> Result<Node, Mistake> {
        self.chain(SUMS, Self::sign)
    }

    /// Values with commas between them, and what ends them.
    fn list(&mut self, end: &str) -> Result<Vec<Node>, Mistake> {
        let mut list = Vec::new();
        while !self.take(end)? {
            if !list.is_empty() && !self.take(",")? {
                return Err(self.unexpected(&format!("`,` or `{end}`")));
            }
            list.push(self.expression()?);
        }
        Ok(list)
    }

    fn sign(&mut self) -> Result<Node, Mistake> {
        let column = self.column;
        if self.take("!")? {
            let inner = self.within(Self::sign)?;
            return self.node(column, NodeKind::Not(Box::new(inner)));
        }
        if self.take("-")? {
            let inner = self.within(Self::sign)?;
            // What is written with a sign is one number: there is no positive one to the least of all.
            if let NodeKind::Integer { value, unsigned: false } = inner.kind
                && value >= 0
            {
                let kind = NodeKind::Integer { value: -value, unsigned: false };
                return Ok(Node { id: inner.id, column, kind });
            }
            return self.node(column, NodeKind::Negative(Box::new(inner)));
        }
        self.value()
    }

    fn value(&mut self) -> Result<Node, Mistake> {
        let column = self.column;
        match self.token {
            Token::Number { value, unsigned } => {
                self.advance()?;
                self.node(column, NodeKind::Integer { value: value.into(), unsigned })
            }
            Token::Sign("(") => {
                self.advance()?;
                let inner = self.expression()?;
                self.expect(")")?;
                Ok(inner)
            }
            Token::Name(name) => {
                self.advance()?;
                self.named(name, column)
            }
            Token::Sign(_) | Token::End => Err(self.unexpected(VALUES)),
        }
    }

    fn named(&mut self, name: &str, column: usize) -> Result<Node, Mistake> {
        if let "true" | "false" = name {
            return self.node(column, NodeKind::Boolean(name == "true"));
        }
        if let Some(name) = Name::read(name) {
            return self.node(column, NodeKind::Named(name));
        }
        let Some((name, function)) = FUNCTIONS.iter().find(|(known, _)| *known == name) else {
            let names = || FUNCTIONS.iter().map(|(name, _)| *name);
            let allowed = format!("`arg0`, `arg1` and so on; {}", names().collect::<Vec<_>>().join(", "));
            let mistake = Mistake::new(column, format!("`{}`", shorten(name)), allowed);
            // Without the name of its library.
            let whole = names().find(|known| known.strip_prefix("math.") == Some(name));
            let meant = whole.map(|whole| format!("did you mean `{whole}`?"));
            let near = || did_you_mean(name, names().chain(["arg0", "true", "false"]));
            let hint = meant.or_else(near);
            return Err(Mistake { hint, ..mistake });
        };
        self.expect("(")?;
        let given = self.list(")")?;
        self.call(name, *function, given, column)
    }

    fn call(
        &mut self,
        name: &str,
        function: Function,
        given: Vec<Node>,
        column: usize,
    ) -> Result<Node, Mistake> {
        let count = given.len();
        let mut given = given.into_iter().map(Box::new);
        let kind = match (function, given.next(), given.next(), given.next()) {
            (Function::Converts(conversion), Some(inner), None, _) => NodeKind::Convert(conversion, inner),
            (Function::BitNot, Some(inner), None, _) => NodeKind::BitNot(inner),
            (Function::Joins(binary), Some(left), Some(right), None) => NodeKind::Binary(binary, left, right),
            (Function::Converts(_) | Function::BitNot, ..) => {
                let found = format!("`{name}` with {count} values");
                return Err(Mistake::new(column, found, "one value in its parentheses"));
            }
            (Function::Joins(_), ..) => {
                let found = format!("`{name}` with {count} values");
                return Err(Mistake::new(
                    column,
                    found,
                    "two values in its parentheses, with a comma between",
                ));
            }
        };
        self.node(column, kind)
    }
}
