//! Expressions: what they mean, by a table, and by a reader and a judge of their own for made-up ones.

use super::*;
use crate::oracle::generate::Random;
use crate::plan::simulate::expressions::holds;

/// Bytes and sign.
type Kind = (u8, bool);

fn wrap(value: i128, (width, signed): Kind) -> i128 {
    let modulus = 1_i128 << (8 * u32::from(width));
    let positive = value.rem_euclid(modulus);
    if signed && positive >= modulus / 2 { positive - modulus } else { positive }
}

/// Whether the expression holds, twice: as the oracle computes it and as programs do. Arguments are of these kinds, have
/// these values, and stand in registers with anything above them.
fn both(text: &str, arguments: &[(Kind, i128)]) -> Result<bool, Mistake> {
    let expression = Expression::parse(text)?;
    let named = |name: Name| match name {
        Name::Arg(number) => arguments.get(number as usize).copied(),
        Name::Data(_) => None,
    };
    let condition = expression.check(&|name| named(name).map(|(kind, _)| kind))?;
    let expected = condition.holds(&|name| named(name).map_or(0, |(_, value)| value));
    let code = condition.compile(&|name| {
        let Name::Arg(number) = name else { return None };
        named(name).map(|(kind, _)| (number as u8, kind))
    })?;
    let raw: Vec<u64> = (arguments.iter())
        .map(|((width, _), value)| {
            let own = u64::MAX >> (64 - 8 * u32::from(*width));
            value.rem_euclid(1 << 64) as u64 & own | 0xa5a5_a5a5_a5a5_a5a5 & !own
        })
        .collect();
    assert_eq!(holds(&code.words(|number| number), &raw), expected, "{text}: {arguments:?}");
    Ok(expected)
}

const INT: Kind = (8, true);
const UINT: Kind = (8, false);
const INT32: Kind = (4, true);
const UINT32: Kind = (4, false);

/// An expression, its arguments, whether it holds.
type Case = (&'static str, &'static [(Kind, i128)], bool);

const LEAST: i128 = -0x8000_0000_0000_0000;

#[test]
fn expressions_mean_what_they_say() {
    let cases: &[Case] = &[
        ("arg0 == 42u", &[(UINT, 42)], true),
        ("arg0 == 42", &[(UINT, 42)], true),
        ("arg0 == 43", &[(UINT, 42)], false),
        ("arg0 == 0xaaaaaaaaaaaaaaaau", &[(UINT, 0xaaaa_aaaa_aaaa_aaaa)], true),
        ("arg0 == int32(-1)", &[(INT32, -1)], true),
        ("arg0 == -1", &[((1, true), -1)], true),
        ("arg2 - int32(10) == int32(2) + arg0", &[(INT32, 30), (UINT, 0), (INT32, 42)], true),
        ("arg0 + 1 == int32(-2147483648)", &[(INT32, 2_147_483_647)], true),
        ("int(arg0) + 1 == 2147483648", &[(INT32, 2_147_483_647)], true),
        ("arg0 + 1u == 0", &[(UINT32, 4_294_967_295)], true),
        ("arg0 + 1 == -9223372036854775808", &[(INT, 0x7fff_ffff_ffff_ffff)], true),
        ("arg0 - arg1 == 9223372036854775807", &[(INT, LEAST), (INT, 1)], true),
        ("arg0 - arg1 == 18446744073709551615u", &[(UINT, 0), (UINT, 1)], true),
        ("arg0 != arg1 && !(arg2 >= arg3)", &[(INT32, 42), (INT32, 41), (UINT, 41), (UINT, 42)], true),
        ("arg0 == arg1 || arg2 != arg3", &[(INT, 1), (INT, 2), (UINT32, 1), (UINT32, 2)], true),
        ("arg0 < arg1", &[(INT, -1), (INT, 1)], true),
        ("arg0 < arg1", &[(UINT, 0xffff_ffff_ffff_ffff), (UINT, 1)], false),
        // Of one sign, the narrower one is widened.
        ("arg0 < arg1", &[(INT32, -1), (INT, 1)], true),
        ("arg0 > arg1", &[((2, false), 65535), (UINT, 65534)], true),
        ("uint32(arg0) == 4294967295", &[(INT32, -1)], true),
        ("uint(arg0) == 18446744073709551615u", &[(INT32, -1)], true),
        ("int32(arg0) == -1", &[(UINT, 0xffff_ffff)], true),
        ("int64(arg0) == 4294967295", &[(UINT32, 0xffff_ffff)], true),
        ("int(uint32(int32(arg0))) == 4294967295", &[(INT, -1)], true),
        ("and(arg0, 0x3) == 0x2", &[(INT32, 6)], true),
        ("math.bitOr(arg0, arg1) == 7", &[(INT32, 6), (INT32, 1)], true),
        ("xor(arg0, 5) == 3", &[(UINT32, 6)], true),
        ("math.bitNot(arg0) == 4294967289", &[(UINT32, 6)], true),
        ("not(arg0) == -7", &[((2, true), 6)], true),
        ("-arg0 == -6", &[(INT32, 6)], true),
        ("- -arg0 == 6", &[(INT32, 6)], true),
        ("-arg0 == arg0", &[(INT32, -2_147_483_648)], true),
        ("arg0 in [1, 2, 3]", &[(UINT32, 3)], true),
        ("!(arg0 in [1, 2, arg1])", &[(INT32, 3), (INT32, 3)], false),
        ("arg0 > 1 ? arg1 == 1 : arg1 == 2", &[(INT, 2), (INT, 1)], true),
        ("(arg0 > 1 ? arg1 : 7) == 7", &[(INT, 1), (INT, 1)], true),
        ("arg0 > 1 ? (arg0 > 2 ? true : false) : arg0 > 0 ? arg1 == 1 : true", &[(INT, 2), (INT, 1)], false),
        ("(arg0 > 1) == (arg1 > 1)", &[(INT, 0), (INT, 1)], true),
        ("(arg0 > 1) != true", &[(INT, 0)], true),
        ("arg0 == 1 || arg0 == 2 && arg0 == 3", &[(INT, 1)], true),
        ("arg0 - 1 - 1 == 0", &[(INT, 2)], true),
        ("arg0 == 1 && 1 + 2 == 3 && 5u > 4", &[(INT, 1)], true),
        (" ( arg0==1 )\n&&\ttrue ", &[(INT, 1)], true),
    ];
    for (text, arguments, expected) in cases {
        assert_eq!(both(text, arguments), Ok(*expected), "{text}");
    }
}

/// A made-up expression: as text, and what it comes to.
struct Made {
    text: String,
    value: i128,
}

struct Maker {
    random: Random,
    arguments: Vec<(Kind, i128)>,
}

impl Maker {
    fn integer(&mut self, kind: Kind, depth: usize) -> Made {
        let own: Vec<usize> = (0..self.arguments.len())
            .filter(|place| {
                let ((width, signed), _) = self.arguments[*place];
                signed == kind.1 && if kind.0 == 4 { width <= 4 } else { width == 8 }
            })
            .collect();
        let choice = if depth == 0 { self.random.below(2) } else { self.random.below(9) };
        match choice {
            0 if !own.is_empty() => {
                let place = self.random.pick(&own);
                Made { text: format!("arg{place}"), value: self.arguments[place].1 }
            }
            0 | 1 => {
                let near = i128::from(self.random.number() as u8);
                let value = self.random.pick(&[near, 0, 1, -1, 1 << 31, (1 << 32) - 1, 1 << 62]);
                let value = wrap(value, kind);
                // Alone it would be of any type.
                let name = name(kind);
                let suffix = if kind.1 { "" } else { "u" };
                Made { text: format!("{name}({value}{suffix})"), value }
            }
            2 | 3 => {
                let (left, right) = (self.integer(kind, depth - 1), self.integer(kind, depth - 1));
                let (sign, value) = if self.random.chance(50) {
                    ("+", left.value + right.value)
                } else {
                    ("-", left.value - right.value)
                };
                Made { text: format!("({} {sign} {})", left.text, right.text), value: wrap(value, kind) }
            }
            4 | 5 => {
                let (left, right) = (self.integer(kind, depth - 1), self.integer(kind, depth - 1));
                let (name, value) = match self.random.below(3) {
                    0 => ("And", left.value & right.value),
                    1 => ("Or", left.value | right.value),
                    _ => ("Xor", left.value ^ right.value),
                };
                Made { text: format!("math.bit{name}({}, {})", left.text, right.text), value }
            }
            6 => {
                let inner = self.integer(kind, depth - 1);
                if kind.1 && self.random.chance(50) {
                    return Made { text: format!("-({})", inner.text), value: wrap(-inner.value, kind) };
                }
                Made { text: format!("math.bitNot({})", inner.text), value: wrap(!inner.value, kind) }
            }
            7 => {
                let condition = self.condition(depth - 1);
                let (then, otherwise) = (self.integer(kind, depth - 1), self.integer(kind, depth - 1));
                let value = if condition.value != 0 { then.value } else { otherwise.value };
                let text = format!("({} ? {} : {})", condition.text, then.text, otherwise.text);
                Made { text, value }
            }
            _ => {
                let from = self.random.pick(&[INT, UINT, INT32, UINT32]);
                let inner = self.integer(from, depth - 1);
                Made { text: format!("{}({})", name(kind), inner.text), value: wrap(inner.value, kind) }
            }
        }
    }

    fn condition(&mut self, depth: usize) -> Made {
        if depth > 0 && self.random.chance(40) {
            let (left, right) = (self.condition(depth - 1), self.condition(depth - 1));
            return match self.random.below(4) {
                0 => Made {
                    text: format!("({} && {})", left.text, right.text),
                    value: left.value & right.value,
                },
                1 => Made {
                    text: format!("({} || {})", left.text, right.text),
                    value: left.value | right.value,
                },
                2 => Made { text: format!("!({})", left.text), value: 1 - left.value },
                _ => {
                    let value = i128::from(left.value == right.value);
                    Made { text: format!("({} == {})", left.text, right.text), value }
                }
            };
        }
        let kind = self.random.pick(&[INT, UINT, INT32, UINT32]);
        let depth = depth.saturating_sub(1);
        let (left, right) = (self.integer(kind, depth), self.integer(kind, depth));
        if self.random.chance(20) {
            let third = self.integer(kind, depth);
            let value = i128::from([right.value, third.value].contains(&left.value));
            return Made { text: format!("({} in [{}, {}])", left.text, right.text, third.text), value };
        }
        let (sign, value) = match self.random.below(6) {
            0 => ("==", left.value == right.value),
            1 => ("!=", left.value != right.value),
            2 => ("<", left.value < right.value),
            3 => ("<=", left.value <= right.value),
            4 => (">", left.value > right.value),
            _ => (">=", left.value >= right.value),
        };
        Made { text: format!("({} {sign} {})", left.text, right.text), value: i128::from(value) }
    }
}

fn name(kind: Kind) -> &'static str {
    match kind {
        (4, true) => "int32",
        (4, false) => "uint32",
        (_, true) => "int",
        (_, false) => "uint",
    }
}

/// What oracle and programs compute is what the expression means, for whatever arguments.
#[test]
fn made_up_expressions_come_to_what_they_mean() {
    let (mut held, mut failed, mut too_much) = (0, 0, 0);
    for seed in 0..20_000 {
        let mut random = Random::new(seed);
        let arguments = (0..5)
            .map(|_| {
                let kind = random.pick(&[(1, true), (2, false), INT32, UINT32, INT, UINT]);
                let number = i128::from(random.number().cast_signed());
                let value = random.pick(&[number, i128::from(number as i8), 0, 1, -1]);
                (kind, wrap(value, kind))
            })
            .collect();
        let mut maker = Maker { random, arguments };
        let depth = maker.random.below(5);
        let made = maker.condition(depth);
        match both(&made.text, &maker.arguments) {
            Ok(found) => {
                assert_eq!(found, made.value != 0, "{} with {:?}", made.text, maker.arguments);
                *(if found { &mut held } else { &mut failed }) += 1;
            }
            Err(mistake) => {
                let limit = mistake.allowed.starts_with("at most") || mistake.allowed == "fewer of them";
                assert!(limit, "{}: {mistake:?}", made.text);
                too_much += 1;
            }
        }
    }
    assert!(held > 4000 && failed > 4000 && too_much < 8000, "{held} {failed} {too_much}");
}

/// What is read is narrower than what the policy names, or of the other sign.
#[test]
fn arguments_are_what_assigning_makes_of_what_is_read() {
    let all: Vec<Kind> = [1, 2, 4, 8].into_iter().flat_map(|width| [(width, true), (width, false)]).collect();
    let values =
        [0, 1, 127, 128, 255, 256, 32767, 65535, 65536, 1 << 31, (1 << 32) - 1, -1, -128, i64::MIN.into()];
    for kind in &all {
        for read in all.iter().filter(|read| read.0 <= kind.0) {
            for value in values {
                let (here, there) = (wrap(wrap(value, *read), *kind), wrap(value, *read));
                let constant = if kind.1 { here.to_string() } else { format!("{here}u") };
                for text in
                    [format!("arg0 == {constant}"), format!("{constant} <= arg0 && arg0 + 0 in [{constant}]")]
                {
                    let condition = Expression::parse(&text).unwrap().check(&|_| Some(*kind)).unwrap();
                    assert!(condition.holds(&|_| here), "{text} {kind:?}");
                    let code = condition.compile(&|_| Some((0, *read))).unwrap();
                    let raw = there.rem_euclid(1 << 64) as u64;
                    assert!(holds(&code.words(|field| field), &[raw]), "{text}: {kind:?} of {read:?}");
                }
            }
        }
    }
}

/// No text takes long, fails to be answered, or is more than fits.
#[test]
fn any_text_is_answered() {
    const WORDS: [&str; 30] = [
        "arg0",
        "arg1",
        "arg99999999999",
        "(",
        ")",
        "(((((",
        "!",
        "-",
        "- -",
        "+",
        "==",
        "<",
        "in",
        "[",
        "]",
        ",",
        "?",
        ":",
        "&&",
        "||",
        "1",
        "0x",
        "1u",
        "18446744073709551615",
        "math.bitNot(",
        "int(",
        "true",
        "'",
        "\u{20ac}",
        " ",
    ];
    for seed in 0..50_000 {
        let mut random = Random::new(seed);
        let count = random.below(40);
        let text: String = (0..count).flat_map(|_| [random.pick(&WORDS), random.pick(&["", " "])]).collect();
        let _ = both(&text, &[(INT, 1), (UINT32, 2)]);
    }
    let nested = |open: &str, close: &str, count: usize| {
        format!("{}arg0 == 1{}", open.repeat(count), close.repeat(count))
    };
    for (open, close) in [("(", ")"), ("!", ""), ("-", ""), ("int(", ")"), ("true ? ", " : true"), ("[", "]")]
    {
        for count in [1, 10, 24, 25, 100, 400] {
            let _ = both(&nested(open, close, count), &[(INT, 1)]);
        }
    }
    // A value is computed anew for each member of a list.
    let lists = format!("{}arg0 == 1{}", "(".repeat(20), " in [true, false])".repeat(20));
    assert!(both(&lists, &[(INT, 1)]).unwrap_err().found.contains("steps"));
    let chain = format!("arg0{} == 1", " + 1".repeat(200));
    assert!(both(&chain, &[(INT, 1)]).unwrap_err().allowed.starts_with("at most 128"));
    let steps = |count: usize| format!("arg0{} == 1", " + 1".repeat(count));
    assert_eq!(both(&steps(62), &[(INT, -61)]), Ok(true));
    let listed = |count: usize| format!("arg0 in [0{}]", ", 1".repeat(count));
    assert_eq!(both(&listed(20), &[(INT, 1)]), Ok(true));
    assert!(both(&listed(21), &[(INT, 1)]).unwrap_err().found.contains("more than 64 steps"));
    let waiting = |count: usize| format!("{}arg0{} == 1", "arg0 + (".repeat(count), ")".repeat(count));
    assert!(both(&waiting(8), &[(INT, 1)]).is_ok());
    assert!(both(&waiting(9), &[(INT, 1)]).unwrap_err().found.contains("wait"));
    assert!(both(&" ".repeat(1025), &[]).unwrap_err().found.contains("1025 bytes"));
}

#[test]
fn mistakes_are_named_with_their_place() {
    let cases = [
        ("arg0 +", 7, "the end"),
        ("", 0, "an empty expression"),
        ("arg0 = 1", 6, "`=`"),
        ("arg0 * 2 == 4", 6, "`*`"),
        ("(arg0 == 1", 11, "the end"),
        ("arg0 == 1)", 10, "`)`"),
        ("arg0 == 017", 9, "`017`, which begins with 0"),
        ("arg0 == 1.5", 9, "`1.5`, which is no integer"),
        ("arg0 == 18446744073709551616", 9, "`18446744073709551616`, which does not fit into 64 bits"),
        ("arg0", 1, "a value of type int32"),
        ("arg0 + 1", 6, "a value of type int32"),
        ("arg0 == arg1", 6, "`==` between int32 and uint"),
        ("arg0 == 1u", 9, "a number with `u`, where the type is int32"),
        ("arg0 == 2147483648", 9, "`2147483648`, which is no number of type int32"),
        ("arg1 == -1", 9, "`-1`, which is no number of type uint"),
        ("-arg1 == 1", 1, "`-` before a value of type uint"),
        ("arg0 && true", 1, "a value of type int32"),
        ("!arg0", 2, "a value of type int32"),
        ("(arg0 == 1) < true", 13, "`<` between conditions"),
        ("(arg0 == 1) + true", 13, "`+` between conditions"),
        ("arg0 == true", 6, "`==` between int32 and bool"),
        ("arg0 == 1 ? 1 : 2", 11, "a value of type int"),
        ("int(arg0 == 1) == 1", 10, "a value of type bool"),
        ("math.bitNot(true) == 1", 13, "a value of type bool"),
        ("math.bitAnd(arg0) == 1", 1, "`math.bitAnd` with 1 values"),
        ("int() == 1", 1, "`int` with 0 values"),
        ("bitAnd(arg0, 1) == 1", 1, "`bitAnd`"),
        ("arg0 in []", 6, "an empty list"),
        ("arg0 in 1", 9, "`1`"),
        ("size(arg0) == 1", 1, "`size`"),
        ("\u{e4} == 1", 1, "`\u{e4}`"),
    ];
    for (text, column, found) in cases {
        let mistake = both(text, &[(INT32, 1), (UINT, 1)]).unwrap_err();
        assert_eq!((mistake.column, mistake.found.as_str()), (column, found), "{text}: {mistake:?}");
    }
}
