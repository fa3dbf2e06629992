//! What to look for in messages, and what was found.
//!
//! PostgreSQL's full-text search is not used. Its index would hold all users' words, so the cost of a search for a common word would grow
//! with the whole table. Its parser also takes a sentence of Chinese or Japanese for one word. Here each word becomes a regular
//! expression: a whole word where the script has spaces between words, any part of the text where it has none.

use serde::{Serialize, Serializer};

use super::{Message, Text, alike};
use crate::invalid::{Fault, Invalid};
use crate::wire::ToWire;

/// A query in web-search syntax: words that must all be there, `"a phrase"`, `-not`, and `or` between alternatives.
///
/// Sentence marks around a word are no part of it, in the query as in the text. Brackets that are closed inside a word are, as in `f(x)`.
#[derive(Debug, Clone)]
pub struct SearchQuery {
    text: Text,
    terms: Vec<Term>,
}

#[derive(Debug, Clone)]
struct Term {
    /// Terms of the same alternative must all hold; one alternative that holds is enough.
    alternative: i32,
    negated: bool,
    words: Vec<Word>,
}

#[derive(Debug, Clone)]
struct Word {
    text: String,
    /// As [`alike::fold`] writes it.
    folded: Vec<char>,
}

impl SearchQuery {
    const MAX_CHARACTERS: usize = 1000;
    /// Well below the 32 regular expressions that Postgres keeps compiled: beyond, each is compiled anew for every message.
    const MAX_TERMS: usize = 16;

    /// ```
    /// use shared::models::SearchQuery;
    ///
    /// assert!(SearchQuery::parse(r#"rain "in Oslo" -snow or umbrella"#).is_ok());
    /// assert!(SearchQuery::parse(r#" - "" or "#).is_err());
    /// ```
    pub fn parse(text: impl Into<String>) -> Result<Self, Invalid> {
        let text = Text::parse(text)?;
        let invalid = |detail: &str| Err(Invalid::new(Fault::Parameter, detail));
        if text.as_str().chars().count() > Self::MAX_CHARACTERS {
            return invalid("a query has 1000 characters at most");
        }
        let (mut terms, mut alternative) = (Vec::new(), 0);
        for (quoted, negated, piece) in pieces(text.as_str()) {
            if !quoted && !negated && piece.eq_ignore_ascii_case("or") {
                alternative += i32::from(!terms.is_empty());
                continue;
            }
            let words: Vec<Word> =
                piece.split_whitespace().map(without_marks).filter(|word| !word.is_empty()).map(Word::new).collect();
            if words.iter().any(|word| word.text.chars().any(char::is_alphanumeric)) {
                terms.push(Term { alternative, negated, words });
            }
        }
        if terms.is_empty() {
            return invalid("a query has a word to look for, such as: rain \"in Oslo\" -snow or umbrella");
        }
        if terms.len() > Self::MAX_TERMS {
            return invalid("a query has 16 words and phrases at most");
        }
        Ok(Self { text, terms })
    }

    /// The query as it was given.
    #[must_use]
    pub fn as_str(&self) -> &str {
        self.text.as_str()
    }

    /// For each term its alternative, its regular expression (for `~*`), and whether it is negated.
    pub(crate) fn columns(&self) -> (Vec<i32>, Vec<String>, Vec<bool>) {
        let terms = || self.terms.iter();
        (
            terms().map(|term| term.alternative).collect(),
            terms().map(Term::pattern).collect(),
            terms().map(|term| term.negated).collect(),
        )
    }

    /// The part of a text around its first hit, every hit between `**` and `**`, `…` where something was left out. And where the hits are in
    /// it, without the asterisks: their first characters, and the ones behind them.
    fn snippet(&self, text: &str) -> (String, Vec<[usize; 2]>) {
        const BEFORE: usize = 60;
        const LENGTH: usize = 200;
        let characters: Vec<char> = text.chars().collect();
        let folded = alike::fold(text);
        let origin = |at: usize| folded.get(at).map_or(characters.len(), |(_, number)| *number);
        let hit = |at: usize| self.terms.iter().filter(|term| !term.negated).find_map(|term| term.end_of_hit(&folded, at));
        let mut at = (0..folded.len()).find(|&at| hit(at).is_some()).unwrap_or(0);
        let start = origin(at).saturating_sub(BEFORE);
        let end = (start + LENGTH).min(characters.len());
        let mut snippet: Vec<char> = if start > 0 { vec!['…'] } else { Vec::new() };
        let (mut highlights, mut written) = (Vec::new(), start);
        while origin(at) < end {
            let Some(behind) = hit(at) else {
                at += 1;
                continue;
            };
            let (first, last) = (origin(at).max(written), origin(behind).min(end));
            snippet.extend(&characters[written..first]);
            snippet.extend(['*'; 2]);
            let length = snippet.len();
            snippet.extend(&characters[first..last.max(first)]);
            highlights.push([length, snippet.len()]);
            snippet.extend(['*'; 2]);
            (at, written) = (behind, last.max(first));
        }
        snippet.extend(&characters[written..end]);
        snippet.extend(Some('…').filter(|_| end < characters.len()));
        (snippet.into_iter().collect(), highlights)
    }
}

#[derive(Debug, Clone, Serialize)]
pub struct SearchHit {
    pub message: Message,
    /// The part of its text around the first hit, with hits between `**`.
    pub snippet: String,
    /// Where the hits are in `snippet`, without the asterisks around them: the first character (Unicode scalar value), and the one behind.
    #[serde(serialize_with = "serialize_pairs")]
    pub highlights: Vec<[usize; 2]>,
    /// The title of its conversation.
    pub title: Option<String>,
}

impl ToWire for SearchHit {}

impl SearchHit {
    pub(crate) fn new(query: &SearchQuery, message: Message, title: Option<String>) -> Self {
        let parts_text = message.content.as_ref().and_then(super::Content::parts_text);
        let text = message.content.as_ref().and_then(super::Content::as_text).or(parts_text.as_deref());
        let (snippet, highlights) = query.snippet(text.unwrap_or_default());
        Self { message, snippet, highlights, title }
    }
}

fn serialize_pairs<S: Serializer>(pairs: &[[usize; 2]], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_seq(pairs.iter().map(|pair| &pair[..]))
}

impl Word {
    fn new(text: &str) -> Self {
        Self { text: text.to_owned(), folded: alike::fold(text).into_iter().map(|(character, _)| character).collect() }
    }
}

impl Term {
    /// The term as Postgres's regular expressions have it.
    fn pattern(&self) -> String {
        let marks = alike::escaped(SENTENCE_MARKS);
        let between = format!("[{marks}]*[{SPACES}][{marks}{SPACES}]*");
        let word = |word: &Word| alike::pattern(&word.text);
        let first = self.words.first().and_then(|word| word.text.chars().next());
        let last = self.words.last().and_then(|word| word.text.chars().last());
        let start = if first.is_some_and(has_word_boundary) { alike::WORD_STARTS.as_str() } else { "" };
        let end = if last.is_some_and(has_word_boundary) { &alike::WORD_ENDS } else { &alike::LETTER_ENDS };
        format!("{start}{}{}", self.words.iter().map(word).collect::<Vec<_>>().join(&between), end.as_str())
    }

    /// Where the term ends if it is found at this place: what [`Term::pattern`] says, for a snippet.
    fn end_of_hit(&self, text: &[(char, usize)], start: usize) -> Option<usize> {
        let at = |at: usize| text.get(at).map(|(character, _)| *character);
        let (first, rest) = self.words.split_first()?;
        let mut end = first.end(text, start)?;
        for word in rest {
            let space = end + count_while(text, end, is_sentence_mark);
            at(space).filter(|character| character.is_whitespace())?;
            let length = count_while(text, space, |character| character.is_whitespace() || is_sentence_mark(character));
            // A word may begin with a mark.
            end = (space + 1..=space + length).rev().find_map(|place| word.end(text, place))?;
        }
        let inside_before = at(start).is_some_and(has_word_boundary) && start > 0 && at(start - 1).is_some_and(alike::is_in_word);
        let is_inside = if at(end - 1).is_some_and(has_word_boundary) { alike::is_in_word } else { alike::is_composing };
        (!inside_before && !at(end).is_some_and(is_inside)).then_some(end)
    }
}

/// How many characters from a place on are such ones.
fn count_while(text: &[(char, usize)], from: usize, is_such: impl Fn(char) -> bool) -> usize {
    text[from..].iter().take_while(|(character, _)| is_such(*character)).count()
}

impl Word {
    /// Where the word ends if it is at this place.
    fn end(&self, text: &[(char, usize)], start: usize) -> Option<usize> {
        let mut characters = text[start..].iter().map(|(character, _)| character);
        self.folded.iter().all(|character| characters.next() == Some(character)).then_some(start + self.folded.len())
    }
}

/// Characters that a phrase may have between its words, besides spaces: sentence marks, and the marks of Markdown.
const SENTENCE_MARKS: &str = ".,;:?!…()[]{}\"'“”„‟‘’‚«»‹›¿¡–—*`。，、．；：？！「」『』（）【】《》〈〉［］｛｝＂＇";
/// What ends a word and is no part of it.
const CLOSING: &str = ".,;:?!…\"'“”„‟‘’‚«»‹›–—。，、．；：？！＂＇";
/// What begins a word and is no part of it. A full stop is, as in `.env`.
const OPENING: &str = "…\"'“”„‟‘’‚«»‹›¿¡–—＂＇";
/// What is a part of a word if the word holds both.
const BRACKETS: [(char, char); 12] = [
    ('(', ')'),
    ('[', ']'),
    ('{', '}'),
    ('「', '」'),
    ('『', '』'),
    ('（', '）'),
    ('【', '】'),
    ('《', '》'),
    ('〈', '〉'),
    ('［', '］'),
    ('｛', '｝'),
    ('⟨', '⟩'),
];
/// Spaces that `\s` has in some collations only are named.
const SPACES: &str = r"\s\u00a0\u2007\u202f";

fn is_sentence_mark(character: char) -> bool {
    SENTENCE_MARKS.contains(character)
}

/// A word without the sentence marks around it.
fn without_marks(word: &str) -> &str {
    let mut word = word;
    loop {
        let before = word;
        word = word
            .trim_end_matches(|character| CLOSING.contains(character))
            .trim_start_matches(|character| OPENING.contains(character));
        word = word.strip_prefix("...").unwrap_or(word);
        word = without_bracket(word).unwrap_or(word);
        if word == before {
            return word;
        }
    }
}

/// A word without the bracket at one end that has no other, or without both if they are around it.
fn without_bracket(word: &str) -> Option<&str> {
    let (first, last) = (word.chars().next()?, word.chars().next_back()?);
    if let Some((_, closing)) = BRACKETS.iter().find(|(opening, _)| *opening == first) {
        match partner(word.chars(), first, *closing) {
            None => return Some(&word[first.len_utf8()..]),
            Some(count) if count == word.chars().count() => return Some(&word[first.len_utf8()..word.len() - last.len_utf8()]),
            Some(_) => {}
        }
    }
    let (opening, _) = BRACKETS.iter().find(|(_, closing)| *closing == last)?;
    partner(word.chars().rev(), last, *opening).is_none().then(|| &word[..word.len() - last.len_utf8()])
}

/// How many characters there are up to the bracket that ends what the first one begins.
fn partner(characters: impl Iterator<Item = char>, begins: char, ends: char) -> Option<usize> {
    let mut depth = 0;
    for (count, character) in (1..).zip(characters) {
        depth += i32::from(character == begins) - i32::from(character == ends);
        if depth == 0 {
            return Some(count);
        }
    }
    None
}

/// The words and phrases of a query: whether quoted, whether negated, and the text.
fn pieces(text: &str) -> Vec<(bool, bool, &str)> {
    /// All but the straight one, which goes with itself alone.
    const QUOTES: [char; 7] = ['“', '”', '„', '‟', '«', '»', '＂'];
    let is_quote = |character: char| character == '"' || QUOTES.contains(&character);
    let mut pieces = Vec::new();
    let mut rest = text.trim_start();
    while !rest.is_empty() {
        let (negated, piece) = rest.strip_prefix('-').map_or((false, rest), |piece| (true, piece));
        if let Some(quoted) = piece.strip_prefix(is_quote) {
            let ends = |character: char| character == '"' || !piece.starts_with('"') && is_quote(character);
            // A quote that is not closed goes to the end.
            let (phrase, after) = quoted.split_once(ends).unwrap_or((quoted, ""));
            pieces.push((true, negated, phrase));
            rest = after.trim_start();
        } else {
            let end = piece.find(|character: char| character.is_whitespace() || is_quote(character)).unwrap_or(piece.len());
            pieces.push((false, negated, &piece[..end]));
            rest = piece[end..].trim_start();
        }
    }
    pieces
}

/// Whether this is a letter or digit of a script that puts spaces between words.
fn has_word_boundary(character: char) -> bool {
    let without_spaces = matches!(character,
        '\u{0e00}'..='\u{0eff}' // Thai, Lao
        | '\u{1000}'..='\u{109f}' // Burmese
        | '\u{1780}'..='\u{17ff}' // Khmer
        | '\u{2e80}'..='\u{a4cf}' // Chinese, Japanese, Yi
        | '\u{ac00}'..='\u{d7af}' // Korean: has spaces, but its particles are written onto the word
        | '\u{f900}'..='\u{faff}'
        | '\u{ff66}'..='\u{ff9f}'
        | '\u{20000}'..='\u{3ffff}'
        // Korean and Japanese, decomposed
        | '\u{1100}'..='\u{11ff}'
    );
    (character.is_alphanumeric() || alike::is_mark(character)) && !without_spaces
}

#[cfg(test)]
mod tests {
    use super::*;

    fn patterns(query: &str) -> Vec<(i32, String, bool)> {
        let (alternatives, patterns, negated) = SearchQuery::parse(query).unwrap().columns();
        alternatives
            .into_iter()
            .zip(patterns)
            .zip(negated)
            .map(|((alternative, pattern), negated)| (alternative, pattern, negated))
            .collect()
    }

    /// The words and phrases, in the form in which they are looked for.
    fn words(query: &str) -> Vec<String> {
        let terms = SearchQuery::parse(query).unwrap().terms;
        terms.iter().map(|term| term.words.iter().map(|word| word.text.as_str()).collect::<Vec<_>>().join(" ")).collect()
    }

    #[test]
    fn web_search_syntax_is_understood() {
        let terms = patterns(r#"Rain "in  Oslo" -snow OR 東京"#);
        assert_eq!(
            terms.iter().map(|(alternative, _, negated)| (*alternative, *negated)).collect::<Vec<_>>(),
            [(0, false), (0, false), (0, true), (1, false)]
        );
        assert_eq!(words(r#"Rain "in  Oslo" -snow OR 東京"#), ["Rain", "in Oslo", "snow", "東京"]);
        let (start, end) = (alike::WORD_STARTS.as_str(), alike::WORD_ENDS.as_str());
        assert_eq!(terms[0].1, format!("{start}Ra(?:[Iiİı]|I\u{307})n{end}"));
        assert_eq!(terms[3].1, format!("東京{}", alike::LETTER_ENDS.as_str()));
        assert_eq!(patterns(r#"or "or" c++ -"a b"#).len(), 3);
        assert_eq!(patterns("c++")[0].1, format!(r"{start}c\+\+{}", alike::LETTER_ENDS.as_str()));
        assert!(patterns("a.b*")[0].1.starts_with(&format!(r"{start}a\.b\*")));
    }

    #[test]
    fn sentence_marks_are_no_part_of_a_word_and_code_is() {
        for (query, word) in [
            ("Oslo?", "Oslo"),
            ("(Oslo)", "Oslo"),
            ("((Oslo),", "Oslo"),
            ("...and…", "and"),
            ("¿dónde?!", "dónde"),
            ("«Oslo»", "Oslo"),
            ("„Oslo“", "Oslo"),
            ("'Oslo’s'", "Oslo’s"),
            ("「東京」。", "東京"),
            ("foo(bar)", "foo(bar)"),
            ("foo(bar).", "foo(bar)"),
            ("(foo(bar))", "foo(bar)"),
            ("foo()", "foo()"),
            ("printf(", "printf("),
            ("(int)x", "(int)x"),
            ("a[0];", "a[0]"),
            ("[link](https://a.b/c?d=e)", "[link](https://a.b/c?d=e)"),
            (".env", ".env"),
            ("C++,", "C++"),
            ("C#.", "C#"),
            ("$5.00!", "$5.00"),
            ("Ph.D.", "Ph.D"),
        ] {
            assert_eq!(words(query), [word], "{query}");
        }
        assert_eq!(words("“Oslo weather” “a \"b"), ["Oslo weather", "a", "b"]);
        assert_eq!(words("\"in “Oslo” – today ?\""), ["in Oslo today"]);
    }

    #[test]
    fn a_query_without_a_word_is_refused() {
        for query in ["", " ", "\"", "\"\"", "-", "or", "or or", "- \"\" -- or", "\\", "***", "…"] {
            assert!(SearchQuery::parse(query).is_err(), "{query}");
        }
        assert!(SearchQuery::parse("\"".repeat(10_000)).is_err());
        assert!(SearchQuery::parse("a ".repeat(17)).is_err());
    }

    #[test]
    fn a_snippet_marks_hits_and_says_where_it_cuts() {
        let snippet = |query: &str, text: &str| {
            let (snippet, highlights) = SearchQuery::parse(query).unwrap().snippet(text);
            let characters: Vec<char> = snippet.chars().collect();
            for [start, end] in highlights {
                assert!(start < end && characters[start - 2..start] == ['*', '*'] && characters[end..end + 2] == ['*', '*']);
            }
            snippet
        };
        assert_eq!(snippet("RAIN", "The train brings rain, Rain!"), "The train brings **rain**, **Rain**!");
        assert_eq!(snippet("\"in oslo\"", "Rain in\nOslo"), "Rain **in\nOslo**");
        assert_eq!(snippet("京", "東京タワー"), "東**京**タワー");
        assert_eq!(snippet("-x", "abc"), "abc");
        assert_eq!(snippet("oslo", "**Oslo** in OSLO"), "****Oslo**** in **OSLO**");
        assert_eq!(snippet("\"in oslo\"", "in, (Oslo)."), "**in, (Oslo**).");
        assert_eq!(snippet("de\u{301}ja\u{300}", "Déjà vu"), "**Déjà** vu");
        assert_eq!(snippet("déjà", "de\u{301}ja\u{300} vu"), "**de\u{301}ja\u{300}** vu");
        assert_eq!(snippet("deja", "de\u{301}ja\u{300} vu"), "de\u{301}ja\u{300} vu");
        assert_eq!(snippet("istanbul", "I\u{307}STANBUL"), "**I\u{307}STANBUL**");
        assert_eq!(snippet("don't", "Don’t!"), "**Don’t**!");
        assert_eq!(snippet("한", "하 한 \u{1112}\u{1161}\u{11ab}"), "하 **한** **\u{1112}\u{1161}\u{11ab}**");
        assert_eq!(snippet("\"a .b\"", "a .b a b"), "**a .b** a b");
        let long = snippet("needle", &format!("{} needle {}", "x ".repeat(100), "y ".repeat(200)));
        assert!(long.starts_with("… x x") && long.contains("**needle**") && long.ends_with('…'), "{long}");
    }
}
