//! Enough of SQL's lexical rules to walk over comments and quoted text with line and column.
//!
//! It knows no grammar: the header of a segment needs words, and the end of its query needs to be told
//! from a semicolon inside a string.

use crate::yaml::Place;

/// Something opened and not closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Unclosed {
    pub(crate) what: &'static str,
    pub(crate) place: Place,
}

/// Walks over a text.
pub(crate) struct Scanner<'t> {
    rest: &'t str,
    whole: &'t str,
    place: Place,
    /// Text of the `--` comments passed since the start, one a line.
    pub(crate) comments: Vec<&'t str>,
}

impl<'t> Scanner<'t> {
    pub(crate) fn new(text: &'t str) -> Self {
        // A byte order mark is no part of the text.
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        Self {
            rest: text,
            whole: text,
            place: Place::START,
            comments: Vec::new(),
        }
    }

    pub(crate) fn place(&self) -> Place {
        self.place
    }

    /// Bytes passed.
    pub(crate) fn passed(&self) -> usize {
        self.whole.len() - self.rest.len()
    }

    /// The text between two numbers of bytes passed.
    pub(crate) fn between(&self, from: usize, to: usize) -> &'t str {
        &self.whole[from..to]
    }

    pub(crate) fn peek(&self) -> Option<char> {
        self.rest.chars().next()
    }

    pub(crate) fn bump(&mut self) -> Option<char> {
        let mut chars = self.rest.chars();
        let c = chars.next()?;
        self.rest = chars.as_str();
        if c == '\n' {
            self.place.line += 1;
            self.place.column = 1;
        } else {
            self.place.column += 1;
        }
        Some(c)
    }

    fn bump_bytes(&mut self, bytes: usize) {
        let end = self.rest.len().saturating_sub(bytes);
        while self.rest.len() > end {
            self.bump();
        }
    }

    /// Passes white space and comments.
    pub(crate) fn skip_blank(&mut self) -> Result<(), Unclosed> {
        loop {
            if self.rest.starts_with("--") {
                let line = self.rest.split('\n').next().unwrap_or(self.rest);
                self.comments.push(line);
                self.bump_bytes(line.len());
            } else if self.rest.starts_with("/*") {
                self.skip_block_comment()?;
            } else if self.peek().is_some_and(char::is_whitespace) {
                self.bump();
            } else {
                return Ok(());
            }
        }
    }

    fn skip_block_comment(&mut self) -> Result<(), Unclosed> {
        let place = self.place;
        let mut depth = 0_u32;
        loop {
            if self.rest.starts_with("/*") {
                depth += 1;
                self.bump_bytes(2);
            } else if self.rest.starts_with("*/") {
                depth -= 1;
                self.bump_bytes(2);
                if depth == 0 {
                    return Ok(());
                }
            } else if self.bump().is_none() {
                return Err(Unclosed {
                    what: "this comment",
                    place,
                });
            }
        }
    }

    /// Takes a word, if one begins here: letters, digits and underscores.
    pub(crate) fn word(&mut self) -> Option<&'t str> {
        let end = self
            .rest
            .find(|c: char| !(c.is_alphanumeric() || c == '_'))
            .unwrap_or(self.rest.len());
        if end == 0 {
            return None;
        }
        let word = &self.rest[..end];
        self.bump_bytes(end);
        Some(word)
    }

    /// Passes one piece of a query: a comment, a quoted text or a character.
    pub(crate) fn skip_piece(&mut self) -> Result<(), Unclosed> {
        if self.rest.starts_with("--") || self.rest.starts_with("/*") {
            return self.skip_blank();
        }
        match self.peek() {
            Some(quote @ ('\'' | '"' | '`')) => self.skip_quoted(quote),
            Some(_) => {
                self.bump();
                Ok(())
            }
            None => Ok(()),
        }
    }

    /// A doubled quote closes and opens again, so it needs no rule of its own.
    fn skip_quoted(&mut self, quote: char) -> Result<(), Unclosed> {
        let place = self.place;
        self.bump();
        while let Some(c) = self.bump() {
            if c == quote {
                return Ok(());
            }
        }
        Err(Unclosed {
            what: "this quotation mark",
            place,
        })
    }
}
