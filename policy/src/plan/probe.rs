//! Where the arguments of a program's probe stand, as the notes of a file tell it.
//!
//! The form is that of `sys/sdt.h` (`SystemTap`, <https://sourceware.org/systemtap/wiki/UserSpaceProbeImplementation>): for each
//! argument `N@OPERAND`, where N is its size in bytes, negative when it has a sign, and the operand is one of the assembler.

use crate::model::Register;

/// One argument of a probe.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct ProbeArgument {
    /// Bytes: 1, 2, 4 or 8.
    pub(super) width: u8,
    /// Two's complement.
    pub(super) signed: bool,
    /// Where it stands.
    pub(super) operand: Operand,
}

/// Where an argument stands. Registers are named by their offset in `struct pt_regs`, bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Operand {
    /// It is this number.
    Constant(i64),
    /// In a register.
    Register(i32),
    /// In the program's memory.
    Memory {
        /// Register with an address.
        base: i32,
        /// Register that is added to it, and how many bits it is shifted to the left.
        index: Option<(u16, u8)>,
        /// Bytes added to both.
        displacement: i32,
    },
}

/// The arguments of a note; one that is not understood is `Err` with its text.
pub(super) fn arguments(text: &str) -> Vec<Result<ProbeArgument, &str>> {
    // Operands have no blanks, but for those that old assemblers put behind commas; no compiler does.
    text.split_ascii_whitespace().map(|word| argument(word).ok_or(word)).collect()
}

fn argument(word: &str) -> Option<ProbeArgument> {
    let (size, text) = word.split_once('@')?;
    let size: i8 = size.parse().ok()?;
    let width = size.unsigned_abs();
    matches!(width, 1 | 2 | 4 | 8).then_some(())?;
    Some(ProbeArgument { width, signed: size < 0, operand: operand(text)? })
}

fn operand(text: &str) -> Option<Operand> {
    if let Some(number) = text.strip_prefix('$') {
        return number_of(number).map(Operand::Constant);
    }
    if let Some(name) = text.strip_prefix('%') {
        return register(name).map(Operand::Register);
    }
    let (displacement, registers) = text.strip_suffix(')')?.split_once('(')?;
    let displacement =
        if displacement.is_empty() { 0 } else { i32::try_from(number_of(displacement)?).ok()? };
    let mut parts = registers.split(',');
    let base = register(parts.next()?.strip_prefix('%')?)?;
    let index = match parts.next() {
        None => None,
        Some(name) => {
            let scale: u8 = parts.next().map_or(Some(1), |scale| scale.parse().ok())?;
            matches!(scale, 1 | 2 | 4 | 8).then_some(())?;
            let register = u16::try_from(register(name.strip_prefix('%')?)?).ok()?;
            Some((register, scale.trailing_zeros() as u8))
        }
    };
    parts.next().is_none().then_some(Operand::Memory { base, index, displacement })
}

/// A register that holds a value, by its offset in `struct pt_regs`.
fn register(name: &str) -> Option<i32> {
    Register::named(name).filter(|one| *one != Register::INSTRUCTION).map(|one| one.offset().into())
}

fn number_of(text: &str) -> Option<i64> {
    let (digits, negative) = text.strip_prefix('-').map_or((text, false), |digits| (digits, true));
    let number = match digits.strip_prefix("0x") {
        Some(digits) => u64::from_str_radix(digits, 16).ok()?,
        None => digits.parse().ok()?,
    };
    // Constants of 64 bits are written with and without a sign.
    let number = number.cast_signed();
    Some(if negative { number.wrapping_neg() } else { number })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_are_read() {
        let one = |width, signed, operand| Ok(ProbeArgument { width, signed, operand });
        let memory = |base, index, displacement| Operand::Memory { base, index, displacement };
        let text = "-4@%edi 8@%r12 1@$7 -8@$-0x10 4@-20(%rbp) 8@(%rsp) -2@8(%rax,%rbx,4) 4@global(%rip) 3@%rax 8@%xmm0";
        assert_eq!(
            arguments(text),
            [
                one(4, true, Operand::Register(112)),
                one(8, false, Operand::Register(24)),
                one(1, false, Operand::Constant(7)),
                one(8, true, Operand::Constant(-16)),
                one(4, false, memory(32, None, -20)),
                one(8, false, memory(152, None, 0)),
                one(2, true, memory(80, Some((40, 2)), 8)),
                Err("4@global(%rip)"),
                Err("3@%rax"),
                Err("8@%xmm0"),
            ]
        );
        assert_eq!(arguments(""), []);
    }

    #[test]
    fn texts_of_any_content_are_no_panic() {
        for text in [
            "@",
            "4@",
            "4@(",
            "4@)",
            "4@%",
            "-128@%rax",
            "4@$",
            "4@(%rax,",
            "8@99999999999(%rax)",
            "8@$-9223372036854775808",
        ] {
            assert!(arguments(text).len() <= 1, "{text}");
        }
    }
}
