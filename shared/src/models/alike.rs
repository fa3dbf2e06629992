//! Which texts are the same to somebody who looks for one of them: capitals and small letters, composed and decomposed accents, straight and
//! curly apostrophes.
//!
//! [`pattern`] tells PostgreSQL, for `~*`. The pattern names every spelling, so that the stored text is read as it is. To normalize it would
//! cost fifteen times as much as the search. PostgreSQL's own rules decide about case. Only letters that `~*` reaches from one side alone are
//! listed here. [`fold`] says the same of a text that Rust reads, for a snippet.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::RangeInclusive;
use std::sync::LazyLock;

use unicode_normalization::UnicodeNormalization;
use unicode_normalization::char::{canonical_combining_class, compose, decompose_canonical};

/// Characters that are the same, the one that stands for all of them first. `~*` knows a letter's capital and its small letter. It does
/// not know that another letter has the same one.
const ALIKE: [&str; 28] = [
    "iIİı",
    "kK\u{212a}",
    "sSſ",
    "μΜ\u{b5}",
    "åÅ\u{212b}",
    "ßẞ",
    "ǆǅǄ",
    "ǉǈǇ",
    "ǌǋǊ",
    "ǳǲǱ",
    "ιΙ\u{1fbe}",
    "βΒϐ",
    "εΕϵ",
    "θΘϑϴ",
    "κΚϰ",
    "πΠϖ",
    "ρΡϱ",
    "σςΣ",
    "φΦϕ",
    "ωΩ\u{2126}",
    "вВᲀ",
    "дДᲁ",
    "оОᲂ",
    "сСᲃ",
    "тТᲄᲅ",
    "ъЪᲆ",
    "ѣѢᲇ",
    "ṡṠẛ",
];
/// The same of apostrophes.
const APOSTROPHES: &str = "'’‘ʼ＇";

/// These ranges have all characters that normalization replaces by others, and never makes.
const REPLACED: [RangeInclusive<char>; 18] = [
    '\u{340}'..='\u{344}',
    '\u{374}'..='\u{387}',
    '\u{958}'..='\u{95f}',
    '\u{9dc}'..='\u{9df}',
    '\u{a33}'..='\u{a36}',
    '\u{a59}'..='\u{a5e}',
    '\u{b5c}'..='\u{b5d}',
    '\u{f43}'..='\u{fb9}',
    '\u{1f71}'..='\u{1ffd}',
    '\u{2000}'..='\u{2001}',
    '\u{2126}'..='\u{212b}',
    '\u{2329}'..='\u{232a}',
    '\u{2adc}'..='\u{2adc}',
    '\u{f900}'..='\u{fad9}',
    '\u{fb1d}'..='\u{fb4e}',
    '\u{1d15e}'..='\u{1d164}',
    '\u{1d1bb}'..='\u{1d1c0}',
    '\u{2f800}'..='\u{2fa1d}',
];

/// Marks that belong to the letter before them, and in the scripts of India the letters with them. Whether `\w` has them depends on the
/// collation.
const MARKS: [RangeInclusive<char>; 19] = [
    '\u{300}'..='\u{36f}',
    '\u{483}'..='\u{489}',
    '\u{591}'..='\u{5bd}',
    '\u{5bf}'..='\u{5bf}',
    '\u{5c1}'..='\u{5c2}',
    '\u{5c4}'..='\u{5c5}',
    '\u{5c7}'..='\u{5c7}',
    '\u{610}'..='\u{61a}',
    '\u{64b}'..='\u{65f}',
    '\u{670}'..='\u{670}',
    '\u{6d6}'..='\u{6dc}',
    '\u{6df}'..='\u{6e8}',
    '\u{6ea}'..='\u{6ed}',
    '\u{900}'..='\u{963}',
    '\u{966}'..='\u{dff}',
    '\u{1ab0}'..='\u{1aff}',
    '\u{1dc0}'..='\u{1dff}',
    '\u{20d0}'..='\u{20f0}',
    '\u{fe20}'..='\u{fe2f}',
];

/// Marks, vowels and final consonants that make another letter of the one before them, in any script.
const COMPOSING: [RangeInclusive<char>; 4] =
    ['\u{300}'..='\u{36f}', '\u{102e}'..='\u{102e}', '\u{1160}'..='\u{11ff}', '\u{3099}'..='\u{309a}'];

/// The ranges as a part of a bracket expression.
fn bracket(ranges: &[RangeInclusive<char>]) -> String {
    let part = |range: &RangeInclusive<char>| format!(r"\u{:04x}-\u{:04x}", u32::from(*range.start()), u32::from(*range.end()));
    ranges.iter().map(part).collect::<Vec<_>>().concat()
}

/// Nothing of a word comes before. `\m` would also ask whether a word begins here, which depends on the collation.
pub(super) static WORD_STARTS: LazyLock<String> = LazyLock::new(|| format!(r"(?<![\w{}])", bracket(&MARKS)));
/// Nothing of the word comes after.
pub(super) static WORD_ENDS: LazyLock<String> = LazyLock::new(|| format!(r"(?![\w{}])", bracket(&MARKS)));
/// The letter before is whole.
pub(super) static LETTER_ENDS: LazyLock<String> = LazyLock::new(|| format!("(?![{}])", bracket(&COMPOSING)));

/// What [`WORD_STARTS`] and [`WORD_ENDS`] look for.
pub(super) fn is_in_word(character: char) -> bool {
    character.is_alphanumeric() || character == '_' || is_mark(character)
}

/// Whether it is a mark, or a letter of a script of India.
pub(super) fn is_mark(character: char) -> bool {
    !character.is_ascii() && MARKS.iter().any(|range| range.contains(&character))
}

/// What [`LETTER_ENDS`] looks for.
pub(super) fn is_composing(character: char) -> bool {
    COMPOSING.iter().any(|range| range.contains(&character))
}

/// A regular expression that finds the text in all of its spellings. Every character is taken for itself.
pub(super) fn pattern(text: &str) -> String {
    letters(text).iter().map(|letter| letter_pattern(letter)).collect()
}

/// A regular expression that finds the text as a part of another, which ends with a whole letter.
pub(super) fn part_pattern(text: &str) -> String {
    if text.is_empty() { String::new() } else { pattern(text) + &LETTER_ENDS }
}

/// The text's letters, each with its marks. The syllables of Korean are letters.
fn letters(text: &str) -> Vec<String> {
    let mut letters: Vec<String> = Vec::new();
    let mut base = None;
    for character in text.chars() {
        let composed = base.and_then(|base| compose(base, character));
        match letters.last_mut() {
            Some(letter) if composed.is_some() || canonical_combining_class(character) != 0 => {
                letter.push(character);
                base = composed.or(base);
            }
            _ => {
                letters.push(character.into());
                base = Some(character);
            }
        }
    }
    letters
}

/// The text with what a regular expression reads as more than itself escaped.
pub(super) fn escaped(text: &str) -> String {
    let escape = |character: char| if character.is_ascii_punctuation() { format!("\\{character}") } else { character.to_string() };
    text.chars().map(escape).collect()
}

fn letter_pattern(letter: &str) -> String {
    let (short, long): (Vec<String>, Vec<String>) = spellings(letter).into_iter().partition(|text| text.chars().nth(1).is_none());
    let class: String = short.iter().map(|text| escaped(text)).collect();
    let class = if short.len() > 1 { format!("[{class}]") } else { class };
    let alternatives: Vec<String> =
        Some(class).filter(|class| !class.is_empty()).into_iter().chain(long.iter().map(|text| escaped(text))).collect();
    if alternatives.len() > 1 { format!("(?:{})", alternatives.join("|")) } else { alternatives.concat() }
}

/// All ways to write a letter, but those that differ from one of these in case alone.
fn spellings(letter: &str) -> BTreeSet<String> {
    let composed: String = letter.nfc().collect();
    let mut spellings = BTreeSet::from([letter.to_owned(), composed.clone()]);
    if let Some(character) = only_character(&composed) {
        let same = ALIKE.into_iter().chain([APOSTROPHES]).find(|same| same.contains(character)).unwrap_or_default();
        spellings.extend(same.chars().map(String::from));
    }
    if !letter.is_ascii() {
        let cases = [composed.clone(), composed.to_lowercase(), composed.to_uppercase()];
        spellings.extend(cases.iter().filter_map(|text| BY_REPLACEMENT.get(text)).flatten().map(char::to_string));
    }
    for spelling in spellings.clone() {
        spellings.insert(spelling.nfd().collect());
    }
    // Some keyboards write one of two marks into the letter, and the other behind it.
    if let [base, first, second] = *composed.nfd().collect::<Vec<char>>() {
        for (inner, outer) in [(first, second), (second, first)] {
            let halves = [Some(format!("{base}{inner}{outer}")), compose(base, inner).map(|half| format!("{half}{outer}"))];
            spellings.extend(halves.into_iter().flatten().filter(|half| half.nfc().eq(composed.chars())));
        }
    }
    spellings
}

/// The characters that normalization replaces, by what it makes of them.
static BY_REPLACEMENT: LazyLock<BTreeMap<String, Vec<char>>> = LazyLock::new(|| {
    let mut characters = BTreeMap::<String, Vec<char>>::new();
    for character in REPLACED.into_iter().flatten() {
        let replacement: String = std::iter::once(character).nfc().collect();
        if only_character(&replacement) != Some(character) {
            characters.entry(replacement).or_default().push(character);
        }
    }
    characters
});

fn only_character(text: &str) -> Option<char> {
    let mut characters = text.chars();
    characters.next().filter(|_| characters.next().is_none())
}

/// The text in one spelling for all: decomposed, in small letters. Each character comes with the number of the one that it was made of.
pub(super) fn fold(text: &str) -> Vec<(char, usize)> {
    // More marks than this belong to no letter, and are left in their order.
    const MARKS_OF_A_LETTER: usize = 8;
    let mut folded: Vec<(char, usize)> = Vec::with_capacity(text.len());
    for (number, character) in text.chars().enumerate() {
        if character.is_ascii() {
            folded.push((character.to_ascii_lowercase(), number));
            continue;
        }
        decompose_canonical(character, |part| {
            let class = canonical_combining_class(part);
            // Marks have one order, as normalization gives them.
            let first = folded.len().saturating_sub(MARKS_OF_A_LETTER);
            let before = folded[first..].iter().rposition(|(before, _)| class == 0 || canonical_combining_class(*before) <= class);
            let at = before.map_or(first, |before| first + before + 1);
            // A dot above an i makes no other letter.
            if !(part == '\u{307}' && at > 0 && folded[at - 1].0 == 'i') {
                folded.insert(at, (fold_character(part), number));
            }
        });
    }
    folded
}

fn fold_character(character: char) -> char {
    if let Some(same) = ALIKE.into_iter().chain([APOSTROPHES]).find(|same| same.contains(character)) {
        return same.chars().next().unwrap_or(character);
    }
    let mut small = character.to_lowercase();
    small.next().filter(|_| small.len() == 0).unwrap_or(character)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folded(text: &str) -> String {
        fold(text).into_iter().map(|(character, _)| character).collect()
    }

    #[test]
    fn a_pattern_names_the_spellings_that_differ() {
        assert_eq!(pattern("Oslo (a+b)"), r"O[sſ]lo \(a\+b\)".replace("[sſ]", "[Ssſ]"));
        for text in ["é", "e\u{301}"] {
            assert_eq!(pattern(text), "(?:é|e\u{301})");
        }
        assert_eq!(pattern("ậ"), pattern("a\u{302}\u{323}"));
        for form in ["ậ", "a\u{323}\u{302}", "a\u{302}\u{323}", "ạ\u{302}", "â\u{323}"] {
            assert!(pattern("ậ").contains(form), "{form}");
        }
        assert_eq!(pattern("한"), "(?:한|\u{1112}\u{1161}\u{11ab}|\u{d558}\u{11ab})");
        assert_eq!(pattern("don't"), pattern("don’t"));
        assert_eq!(pattern("क\u{93c}"), pattern("\u{958}"));
        assert!(pattern("x\u{302}").ends_with("x\u{302}"));
    }

    /// Whether two letters are the same: one is the other's capital or small letter, or a third one's.
    #[test]
    fn every_letter_that_case_reaches_from_one_side_only_is_listed() {
        let only = |mut letters: std::char::ToLowercase| letters.next().filter(|_| letters.len() == 0);
        let capital = |mut letters: std::char::ToUppercase| letters.next().filter(|_| letters.len() == 0);
        let cases = |of: char| [Some(of), only(of.to_lowercase()), capital(of.to_uppercase())];
        for character in ('\u{80}'..='\u{2ffff}').filter(|character| !('\u{1f80}'..='\u{1fff}').contains(character)) {
            for other in cases(character).into_iter().flatten().filter(|other| !cases(*other).contains(&Some(character))) {
                // The mark that is an iota, and a letter of two alphabets that nobody writes by hand.
                let is_mark = character == '\u{345}' || character == '\u{1c88}';
                let listed = ALIKE.iter().any(|same| same.contains(character) && same.contains(other));
                assert!(listed || is_mark, "{character} and {other}");
            }
        }
    }

    #[test]
    fn every_character_that_normalization_replaces_is_in_a_range() {
        for character in '\u{80}'..='\u{10ffff}' {
            let replacement: String = std::iter::once(character).nfc().collect();
            let known = BY_REPLACEMENT.get(&replacement).is_some_and(|characters| characters.contains(&character));
            assert_eq!(known, only_character(&replacement) != Some(character), "U+{:04X}", u32::from(character));
        }
    }

    #[test]
    fn all_spellings_fold_to_one() {
        for (one, other) in [
            ("İSTANBUL ısı", "istanbul ISI"),
            ("I\u{307}x", "ix"),
            ("STRAẞE", "straße"),
            ("300 \u{212a}", "300 k"),
            ("ΛΌΓΟΣ", "λόγος"),
            ("déjà", "de\u{301}ja\u{300}"),
            ("ậ", "â\u{323}"),
            ("ậ", "a\u{302}\u{323}"),
            ("한글", "\u{1112}\u{1161}\u{11ab}\u{1100}\u{1173}\u{11af}"),
            ("don’t", "DON'T"),
            ("\u{b5}", "μ"),
        ] {
            assert_eq!(folded(one), folded(other));
        }
        assert_eq!(fold("aé\u{323}b"), [('a', 0), ('e', 1), ('\u{323}', 2), ('\u{301}', 1), ('b', 3)]);
    }
}
