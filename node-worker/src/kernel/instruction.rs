//! Instructions of BPF programs: how they are written, and what they say.
//!
//! The encoding is that of the kernel's `Documentation/bpf/standardization/instruction-set.rst`.

use std::os::fd::RawFd;

/// Bytes of an instruction. Wide loads take two.
pub(super) const INSTRUCTION_BYTES: usize = 8;

/// Code of the load of a 64-bit number, which takes two instructions.
pub(super) const LOAD_WIDE: u8 = 0x18;
/// Source of a wide load: the descriptor of a map.
pub(super) const PSEUDO_MAP_FD: u8 = 1;
/// Source of a wide load: the descriptor of a map; the second half is an offset in its first value.
pub(super) const PSEUDO_MAP_VALUE: u8 = 2;
/// Source of a wide load: the beginning of a function, for helpers that call back.
const PSEUDO_FUNCTION: u8 = 4;
/// Source of a call: a function of the program.
const PSEUDO_CALL: u8 = 1;

/// Classes: the low three bits of a code.
pub(super) mod class {
    #[cfg(test)]
    pub(in super::super) const LD: u8 = 0;
    pub(in super::super) const LDX: u8 = 1;
    pub(in super::super) const ST: u8 = 2;
    pub(in super::super) const STX: u8 = 3;
    pub(in super::super) const ALU: u8 = 4;
    pub(in super::super) const JMP: u8 = 5;
    pub(in super::super) const JMP32: u8 = 6;
    pub(in super::super) const ALU64: u8 = 7;
}

/// The bit of a code that tells that the second operand is a register.
const SOURCE_REGISTER: u8 = 0x08;
/// Mode of a plain load.
const MODE_MEM: u8 = 0x60;
const JUMP: u8 = 0x05;
const CALL: u8 = 0x85;
const EXIT: u8 = 0x95;
/// Operation of an arithmetic instruction that only puts its operand into `to`.
pub(super) const MOVE: u8 = 0xb0;
const MOVE_32: u8 = 0xb4;
const MOVE_64: u8 = 0xb7;

/// An instruction, or half of a wide one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Instruction {
    pub(super) code: u8,
    pub(super) to: u8,
    pub(super) from: u8,
    pub(super) offset: i16,
    pub(super) immediate: i32,
}

/// Where an instruction leads, when that is not the next one alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Flow {
    /// To the next one.
    Next,
    /// Elsewhere, always.
    Jump(usize),
    /// Elsewhere or to the next one.
    Branch(usize),
    /// To the next one, after the function that begins there.
    Call(usize),
    /// To the next one, after a helper.
    Helper,
    /// Out of the function.
    Exit,
}

impl Instruction {
    pub(super) fn read(bytes: [u8; INSTRUCTION_BYTES]) -> Self {
        let [code, registers, offset_low, offset_high, a, b, c, d] = bytes;
        Self {
            code,
            to: registers & 15,
            from: registers >> 4,
            offset: i16::from_le_bytes([offset_low, offset_high]),
            immediate: i32::from_le_bytes([a, b, c, d]),
        }
    }

    pub(super) fn write(self) -> [u8; INSTRUCTION_BYTES] {
        let [offset_low, offset_high] = self.offset.to_le_bytes();
        let [a, b, c, d] = self.immediate.to_le_bytes();
        [self.code, self.to | self.from << 4, offset_low, offset_high, a, b, c, d]
    }

    /// A jump by `offset`.
    pub(super) fn jump(offset: i16) -> Self {
        Self { code: JUMP, to: 0, from: 0, offset, immediate: 0 }
    }

    /// What puts `number` into register `to`; `None` when that takes a wide load.
    pub(super) fn put(to: u8, number: u64) -> Option<Self> {
        let number_signed = number.cast_signed();
        let (code, immediate) = match (i32::try_from(number_signed), u32::try_from(number)) {
            (Ok(immediate), _) => (MOVE_64, immediate),
            (Err(_), Ok(immediate)) => (MOVE_32, immediate.cast_signed()),
            (Err(_), Err(_)) => return None,
        };
        Some(Self { code, to, from: 0, offset: 0, immediate })
    }

    pub(super) fn class(self) -> u8 {
        self.code & 7
    }

    /// The operation of an arithmetic instruction or a jump: the high four bits.
    pub(super) fn operation(self) -> u8 {
        self.code & 0xf0
    }

    /// Whether the second operand is register `from`; else it is the immediate.
    pub(super) fn takes_register(self) -> bool {
        self.code & SOURCE_REGISTER != 0
    }

    /// Whether an arithmetic instruction only puts its operand into `to`.
    pub(super) fn is_move(self) -> bool {
        self.operation() == MOVE
    }

    pub(super) fn is_wide(self) -> bool {
        self.code == LOAD_WIDE
    }

    /// Whether it is a wide load that names the map behind `descriptor`.
    pub(super) fn names_map(self, descriptor: RawFd) -> bool {
        self.is_wide()
            && (self.from == PSEUDO_MAP_FD || self.from == PSEUDO_MAP_VALUE)
            && self.immediate == descriptor
    }

    /// The function whose beginning a wide load takes, with the instruction at `index`.
    pub(super) fn function_taken(self, index: usize) -> Option<usize> {
        if !self.is_wide() || self.from != PSEUDO_FUNCTION {
            return None;
        }
        index.checked_add_signed(self.immediate as isize + 1)
    }

    /// Bytes that a plain load from memory reads; `None` = it is none, or extends a sign.
    pub(super) fn loaded_bytes(self) -> Option<usize> {
        if self.class() != class::LDX || self.code & 0xe0 != MODE_MEM {
            return None;
        }
        Some(match self.code & 0x18 {
            0x00 => 4,
            0x08 => 2,
            0x10 => 1,
            _ => 8,
        })
    }

    /// Where it leads, standing at `index`; `None` = not known to this version.
    pub(super) fn flow(self, index: usize) -> Option<Flow> {
        let is_jump = self.class() == class::JMP || self.class() == class::JMP32;
        if !is_jump {
            return Some(Flow::Next);
        }
        let target = || index.checked_add_signed(isize::from(self.offset) + 1);
        match self.code {
            JUMP => target().map(Flow::Jump),
            CALL if self.from == PSEUDO_CALL => {
                index.checked_add_signed(self.immediate as isize + 1).map(Flow::Call)
            }
            CALL => Some(Flow::Helper),
            EXIT => Some(Flow::Exit),
            _ if matches!(self.operation(), 0x00 | 0x80 | 0x90 | 0xe0 | 0xf0) => None,
            _ => target().map(Flow::Branch),
        }
    }

    /// The same instruction that leads `distance` instructions further than the next one.
    pub(super) fn led_to(self, distance: isize) -> Option<Self> {
        if self.code == CALL || self.is_wide() {
            return Some(Self { immediate: distance.try_into().ok()?, ..self });
        }
        Some(Self { offset: distance.try_into().ok()?, ..self })
    }
}

/// Reads all instructions; `None` = the bytes end within one.
pub(super) fn decode(bytes: &[u8]) -> Option<Vec<Instruction>> {
    let (whole, rest) = bytes.as_chunks();
    rest.is_empty().then(|| whole.iter().map(|bytes| Instruction::read(*bytes)).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        let bytes = [0x61, 0x92, 0xf0, 0xff, 1, 2, 3, 0x80];
        let read = Instruction::read(bytes);
        assert_eq!((read.to, read.from, read.offset), (2, 9, -16));
        assert_eq!(read.write(), bytes);
    }

    #[test]
    fn numbers_are_put_by_one_instruction_where_that_is_possible() {
        let put = |number| Instruction::put(3, number).map(|it| (it.code, it.immediate));
        assert_eq!(put(7), Some((MOVE_64, 7)));
        assert_eq!(put(u64::MAX), Some((MOVE_64, -1)));
        assert_eq!(put(0xffff_ffff), Some((MOVE_32, -1)));
        assert_eq!(put(1 << 32), None);
    }

    #[test]
    fn unknown_jumps_are_told() {
        let flow = |code, from| Instruction { code, to: 0, from, offset: 3, immediate: -2 }.flow(5);
        assert_eq!(flow(0x05, 0), Some(Flow::Jump(9)));
        assert_eq!(flow(0x15, 0), Some(Flow::Branch(9)));
        assert_eq!(flow(0x85, 1), Some(Flow::Call(4)));
        assert_eq!(flow(0x85, 0), Some(Flow::Helper));
        assert_eq!(flow(0x95, 0), Some(Flow::Exit));
        // A long jump and a "may goto" of later kernels.
        assert_eq!((flow(0x06, 0), flow(0xe5, 0)), (None, None));
        assert_eq!(flow(0x07, 0), Some(Flow::Next));
    }
}
