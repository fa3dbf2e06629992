//! What to look for in messages, and what was found.
//!
//! PostgreSQL's full-text search is not used. Its index would hold all users' words, so the cost of a search for a common word would grow
//! with the whole table. Its parser also takes a sentence of Chinese or Japanese for one word. Here each word becomes a regular
//! expression: a whole word where the script has spaces between words, any part of the text where it has none.

use serde::Serialize;

use super::{Message, Text};
use crate::error::{Fault, Invalid};

/// A query in web-search syntax: words that must all be there, `"a phrase"`, `-not`, and `or` between alternatives.
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
    words: Vec<Vec<char>>,
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
    ///
    /// # Errors
    /// There is nothing to look for, or too much, or U+0000.
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
            let words: Vec<Vec<char>> = piece.split_whitespace().map(|word| word.chars().map(fold).collect()).collect();
            if words.iter().flatten().any(|character| character.is_alphanumeric()) {
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

    /// The part of a text around its first hit, every hit between `**` and `**`, `…` where something was left out.
    fn snippet(&self, text: &str) -> String {
        const BEFORE: usize = 60;
        const LENGTH: usize = 200;
        let characters: Vec<char> = text.chars().collect();
        let folded: Vec<char> = characters.iter().copied().map(fold).collect();
        let hit = |at: usize| self.terms.iter().filter(|term| !term.negated).find_map(|term| term.end_of_hit(&folded, at));
        let first = (0..folded.len()).find(|&at| hit(at).is_some()).unwrap_or(0);
        let start = first.saturating_sub(BEFORE);
        let end = (start + LENGTH).min(characters.len());
        let mut snippet = String::from(if start > 0 { "…" } else { "" });
        let mut at = start;
        while at < end {
            let stop = hit(at).map(|stop| stop.min(end));
            let next = stop.unwrap_or(at + 1);
            let marks = if stop.is_some() { "**" } else { "" };
            snippet += marks;
            snippet.extend(&characters[at..next]);
            snippet += marks;
            at = next;
        }
        snippet += if end < characters.len() { "…" } else { "" };
        snippet
    }
}

/// A message that was found.
#[derive(Debug, Clone, Serialize)]
pub struct SearchHit {
    /// The message.
    pub message: Message,
    /// The part of its text around the first hit, with hits between `**`.
    pub snippet: String,
    /// The title of its conversation.
    pub title: Option<String>,
}

impl SearchHit {
    pub(crate) fn new(query: &SearchQuery, message: Message, title: Option<String>) -> Self {
        let parts_text = message.content.as_ref().and_then(super::Content::parts_text);
        let text = message.content.as_ref().and_then(super::Content::as_text).or(parts_text.as_deref());
        Self { snippet: query.snippet(text.unwrap_or_default()), title, message }
    }
}

impl Term {
    /// The term as Postgres's regular expressions have it, every character taken for itself.
    fn pattern(&self) -> String {
        let escape = |word: &Vec<char>| {
            let escape = |character: &char| match character {
                character if character.is_ascii_punctuation() => format!("\\{character}"),
                character => character.to_string(),
            };
            word.iter().map(escape).collect::<String>()
        };
        let start =
            if self.words.first().and_then(|word| word.first()).copied().is_some_and(has_word_boundary) { r"\m" } else { "" };
        let end = if self.words.last().and_then(|word| word.last()).copied().is_some_and(has_word_boundary) { r"\M" } else { "" };
        format!("{start}{}{end}", self.words.iter().map(escape).collect::<Vec<_>>().join(r"\s+"))
    }

    /// Where the term ends if it is found at this place: what [`Term::pattern`] says, for a snippet.
    fn end_of_hit(&self, text: &[char], start: usize) -> Option<usize> {
        let is_word = |at: usize| text.get(at).is_some_and(|&character| character.is_alphanumeric() || character == '_');
        let mut at = start;
        for (index, word) in self.words.iter().enumerate() {
            if index > 0 {
                let spaces = text[at..].iter().take_while(|character| character.is_whitespace()).count();
                at += spaces;
                if spaces == 0 {
                    return None;
                }
            }
            at = text[at..].starts_with(word).then_some(at + word.len())?;
        }
        let inside_before = has_word_boundary(text[start]) && start > 0 && is_word(start - 1);
        let inside_after = has_word_boundary(text[at - 1]) && is_word(at);
        (!inside_before && !inside_after).then_some(at)
    }
}

/// The words and phrases of a query: whether quoted, whether negated, and the text.
fn pieces(text: &str) -> Vec<(bool, bool, &str)> {
    let mut pieces = Vec::new();
    let mut rest = text.trim_start();
    while !rest.is_empty() {
        let (negated, piece) = rest.strip_prefix('-').map_or((false, rest), |piece| (true, piece));
        if let Some(quoted) = piece.strip_prefix('"') {
            // A quote that is not closed goes to the end.
            let (phrase, after) = quoted.split_once('"').unwrap_or((quoted, ""));
            pieces.push((true, negated, phrase));
            rest = after.trim_start();
        } else {
            let end = piece.find(|character: char| character.is_whitespace() || character == '"').unwrap_or(piece.len());
            pieces.push((false, negated, &piece[..end]));
            rest = piece[end..].trim_start();
        }
    }
    pieces
}

/// Upper and lower case are the same; one character stays one.
fn fold(character: char) -> char {
    character.to_lowercase().next().unwrap_or(character)
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
    );
    character.is_alphanumeric() && !without_spaces
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

    #[test]
    fn web_search_syntax_is_understood() {
        assert_eq!(
            patterns(r#"Rain "in  Oslo" -snow OR 東京"#),
            [
                (0, r"\mrain\M".to_owned(), false),
                (0, r"\min\s+oslo\M".to_owned(), false),
                (0, r"\msnow\M".to_owned(), true),
                (1, "東京".to_owned(), false),
            ]
        );
        assert_eq!(patterns(r#"or "or" c++ -"a b"#).len(), 3);
        assert_eq!(patterns("c++")[0].1, r"\mc\+\+");
        assert_eq!(patterns("a.b*")[0].1, r"\ma\.b\*");
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
        let snippet = |query: &str, text: &str| SearchQuery::parse(query).unwrap().snippet(text);
        assert_eq!(snippet("RAIN", "The train brings rain, Rain!"), "The train brings **rain**, **Rain**!");
        assert_eq!(snippet("\"in oslo\"", "Rain in\nOslo"), "Rain **in\nOslo**");
        assert_eq!(snippet("京", "東京タワー"), "東**京**タワー");
        assert_eq!(snippet("-x", "abc"), "abc");
        let long = snippet("needle", &format!("{} needle {}", "x ".repeat(100), "y ".repeat(200)));
        assert!(long.starts_with("… x x") && long.contains("**needle**") && long.ends_with('…'), "{long}");
    }
}
