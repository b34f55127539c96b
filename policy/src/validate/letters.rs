//! Characters in paths that are not what they look like.

/// A character that cannot be seen, or changes how its neighbours are shown.
pub(super) fn invisible(text: &str) -> Option<char> {
    text.chars().find(|letter| {
        letter.is_control()
            || matches!(
                letter,
                '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
                    | '\u{2060}'..='\u{2064}' | '\u{2066}'..='\u{206f}' | '\u{feff}' | '\u{fe00}'..='\u{fe0f}'
                    | '\u{e0000}'..='\u{e007f}'
            )
    })
}

/// An alphabet whose letters look like those of another one.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Alphabet {
    Latin,
    /// Greek, Cyrillic, and the wide forms of Latin letters.
    Similar,
}

fn alphabet(letter: char) -> Option<Alphabet> {
    match letter {
        'a'..='z' | 'A'..='Z' | '\u{c0}'..='\u{24f}' => Some(Alphabet::Latin),
        '\u{370}'..='\u{52f}' | '\u{ff21}'..='\u{ff3a}' | '\u{ff41}'..='\u{ff5a}' => Some(Alphabet::Similar),
        _ => None,
    }
}

/// A Greek, Cyrillic or wide letter within a word that has Latin letters, too.
pub(super) fn look_alike(text: &str) -> Option<char> {
    text.split(|letter: char| !letter.is_alphabetic()).find_map(|word| {
        let is = |wanted: Alphabet| move |letter: &char| alphabet(*letter) == Some(wanted);
        let latin = word.chars().any(|letter| is(Alphabet::Latin)(&letter));
        word.chars().find(is(Alphabet::Similar)).filter(|_| latin)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_of_one_alphabet_are_words() {
        for text in ["/srv/данные/Отчёт-v2.pdf", "/home/zoë/µs", "/αβγ/x", "/文書/a"] {
            assert_eq!((look_alike(text), invisible(text)), (None, None), "{text}");
        }
        assert_eq!(look_alike("/etc/p\u{430}sswd"), Some('\u{430}'));
        assert_eq!(look_alike("/etc/\u{ff53}hadow"), Some('\u{ff53}'));
        assert_eq!(invisible("/etc/shadow\u{200b}"), Some('\u{200b}'));
        assert_eq!(invisible("/etc/\u{202e}wodahs"), Some('\u{202e}'));
        assert_eq!(invisible("/etc/a\tb"), Some('\t'));
    }
}
