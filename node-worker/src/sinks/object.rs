//! A JSON object that shows a structure of the kernel.

use super::text;

/// An object under construction. Members that are 0 or empty are left out.
pub(super) struct Object<'a> {
    pub(super) out: &'a mut Vec<u8>,
    empty: bool,
}

impl<'a> Object<'a> {
    pub(super) fn begin(out: &'a mut Vec<u8>, name: &str) -> Self {
        out.push(b'"');
        out.extend_from_slice(name.as_bytes());
        out.extend_from_slice(b"\":{");
        Self { out, empty: true }
    }

    /// An element of a list.
    pub(super) fn begin_unnamed(out: &'a mut Vec<u8>) -> Self {
        out.push(b'{');
        Self { out, empty: true }
    }

    pub(super) fn member(&mut self, name: &str) {
        if !self.empty {
            self.out.push(b',');
        }
        self.empty = false;
        self.out.push(b'"');
        self.out.extend_from_slice(name.as_bytes());
        self.out.extend_from_slice(b"\":");
    }

    pub(super) fn text(&mut self, name: &str, value: &str) {
        self.bytes(name, value.as_bytes());
    }

    pub(super) fn bytes(&mut self, name: &str, value: &[u8]) {
        if !value.is_empty() {
            self.member(name);
            text::push_string(self.out, value);
        }
    }

    /// 64 bits, which are written as a text.
    pub(super) fn wide(&mut self, name: &str, value: u64) {
        if value != 0 {
            self.member(name);
            text::push_quoted_unsigned(self.out, value);
        }
    }

    pub(super) fn number(&mut self, name: &str, value: u32) {
        if value != 0 {
            self.member(name);
            text::push_unsigned(self.out, value.into());
        }
    }

    pub(super) fn end(self) {
        self.out.push(b'}');
    }
}
