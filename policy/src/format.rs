//! Tracepoint format files (`events/SUBSYSTEM/EVENT/format`): what a tracepoint's record looks like.

use crate::plan::TracepointField;

/// Reads a format file. Lines that are no field are passed over; a field that does not tell where it lies is left out,
/// because nothing can be read from it.
pub fn parse_format(text: &str) -> Vec<TracepointField> {
    text.lines().filter_map(field).collect()
}

/// `field:unsigned short common_type; offset:0; size:2; signed:0;`
fn field(line: &str) -> Option<TracepointField> {
    let rest = line.trim_start().strip_prefix("field:")?;
    let (declaration, rest) = rest.split_once(';')?;
    let number = |key: &str| -> Option<u16> {
        let value = rest.split(';').find_map(|part| part.trim().strip_prefix(key))?;
        value.trim().parse().ok()
    };
    let (type_name, name) = split_declaration(declaration.trim());
    Some(TracepointField {
        name,
        type_name,
        offset: number("offset:")?,
        size: number("size:")?,
        signed: number("signed:").unwrap_or(0) != 0,
    })
}

/// Type and name of a C declaration: `char comm[16]` is `char[16]` and `comm`.
fn split_declaration(declaration: &str) -> (String, String) {
    let (declaration, array) = match declaration.rfind('[') {
        // `__data_loc char[] filename` has its brackets in the type.
        Some(begin) if declaration.ends_with(']') => declaration.split_at(begin),
        Some(_) | None => (declaration, ""),
    };
    let letter = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    let begin = declaration.bytes().rposition(|byte| !letter(byte)).map_or(0, |last| last + 1);
    let (kind, name) = declaration.split_at(begin);
    (format!("{}{array}", kind.trim_end()), name.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn fields_of_every_form_are_read() {
        let text = "name: sched_process_exec\nID: 311\nformat:\n\
            \tfield:unsigned short common_type;\toffset:0;\tsize:2;\tsigned:0;\n\
            \tfield:int common_pid;\toffset:4;\tsize:4;\tsigned:1;\n\n\
            \tfield:__data_loc char[] filename;\toffset:8;\tsize:4;\tsigned:0;\n\
            \tfield:char comm[16];\toffset:12;\tsize:16;\tsigned:0;\n\
            \tfield:const char * path;\toffset:32;\tsize:8;\tsigned:0;\n\
            \tfield:void *next;\toffset:40;\tsize:8;\tsigned:0;\n\
            print fmt: \"filename=%s\", __get_str(filename)\n";
        let shown: Vec<String> = parse_format(text)
            .iter()
            .map(|field| {
                format!(
                    "{} {} @{}+{} {}",
                    field.name, field.type_name, field.offset, field.size, field.signed
                )
            })
            .collect();
        assert_eq!(
            shown,
            [
                "common_type unsigned short @0+2 false",
                "common_pid int @4+4 true",
                "filename __data_loc char[] @8+4 false",
                "comm char[16] @12+16 false",
                "path const char * @32+8 false",
                "next void * @40+8 false",
            ]
        );
    }

    #[test]
    fn a_field_without_a_place_is_left_out() {
        assert!(parse_format("\tfield:int x;\tsize:4;\n\tfield:int y;\toffset:99999;\tsize:4;\n").is_empty());
    }

    proptest! {
        #[test]
        fn any_text_is_read(text in "(field:|;|offset:[0-9]{1,6}|\\[|\\]|\\PC|\n){0,40}") {
            parse_format(&text);
        }
    }
}
