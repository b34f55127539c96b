//! Where the arguments of a program's probe stand, as the notes of a file tell it.
//!
//! The form is that of `sys/sdt.h` (`SystemTap`, <https://sourceware.org/systemtap/wiki/UserSpaceProbeImplementation>): for each
//! argument `N@OPERAND`, where N is its size in bytes, negative when it has a sign, and the operand is one of the assembler.

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

/// The registers of x86-64 by their offset in `struct pt_regs` (arch/x86/include/uapi/asm/ptrace.h), each with the names of
/// its lowest 64, 32, 16 and 8 bits.
const REGISTERS: [(i32, [&str; 4]); 16] = [
    (0, ["r15", "r15d", "r15w", "r15b"]),
    (8, ["r14", "r14d", "r14w", "r14b"]),
    (16, ["r13", "r13d", "r13w", "r13b"]),
    (24, ["r12", "r12d", "r12w", "r12b"]),
    (32, ["rbp", "ebp", "bp", "bpl"]),
    (40, ["rbx", "ebx", "bx", "bl"]),
    (48, ["r11", "r11d", "r11w", "r11b"]),
    (56, ["r10", "r10d", "r10w", "r10b"]),
    (64, ["r9", "r9d", "r9w", "r9b"]),
    (72, ["r8", "r8d", "r8w", "r8b"]),
    (80, ["rax", "eax", "ax", "al"]),
    (88, ["rcx", "ecx", "cx", "cl"]),
    (96, ["rdx", "edx", "dx", "dl"]),
    (104, ["rsi", "esi", "si", "sil"]),
    (112, ["rdi", "edi", "di", "dil"]),
    (152, ["rsp", "esp", "sp", "spl"]),
];

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

fn register(name: &str) -> Option<i32> {
    REGISTERS.iter().find(|(_, names)| names.contains(&name)).map(|(offset, _)| *offset)
}

/// The 64-bit register that a name of the assembler is part of, and how many of its low bytes it is.
pub(super) fn part_of_register(name: &str) -> Option<(&'static str, u8)> {
    REGISTERS.iter().find_map(|(_, names)| {
        let place = names.iter().position(|one| *one == name)?;
        Some((names[0], 8 >> place))
    })
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
