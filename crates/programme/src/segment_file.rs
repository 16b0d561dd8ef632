//! A segment file: our header, then SQL that is kept as it stands.
//!
//! ```sql
//! -- Why this segment exists.
//! CREATE SEGMENT name FOR PURPOSE purpose [CHANNEL channel] [RECIPIENT recipient] AS
//! SELECT …;
//! ```
//!
//! Keywords may be written in any case. The query is not parsed here; the caller checks it through
//! [`crate::SegmentCheck`] and faults keep the lines of the file.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::str::FromStr;

use assent_consent::{Channel, PurposeId, RecipientId};

use crate::fault::Fault;
use crate::names::Slug;
use crate::scanner::{Scanner, Unclosed};
use crate::segment::SegmentDefinition;
use crate::yaml::Place;

const FORM: &str = "write: CREATE SEGMENT name FOR PURPOSE purpose [CHANNEL channel] \
                    [RECIPIENT recipient] AS SELECT …";

/// Reads a segment file; `file` is the name that faults give.
///
/// # Errors
/// Every fault found. What does not have the form of a header is one fault, at the first word that
/// does not fit; names and the end of the query are judged beyond that.
pub fn parse_segment(file: &str, text: &str) -> Result<SegmentDefinition, Vec<Fault>> {
    parse_placed(file, text).map(|(segment, _)| segment)
}

/// As [`parse_segment`], with the places of the header's names for later faults.
pub(crate) fn parse_placed(
    file: &str,
    text: &str,
) -> Result<(SegmentDefinition, HeaderPlaces), Vec<Fault>> {
    let mut parser = Parser {
        scanner: Scanner::new(text),
        places: HeaderPlaces::default(),
        faults: Vec::new(),
    };
    let segment = match parser.segment() {
        Ok(segment) => segment,
        Err(fault) => {
            parser.faults.push(fault);
            None
        }
    };
    match segment {
        Some(segment) if parser.faults.is_empty() => Ok((segment, parser.places)),
        Some(_) | None => Err(parser
            .faults
            .into_iter()
            .map(|fault| Fault {
                file: file.to_owned(),
                ..fault
            })
            .collect()),
    }
}

/// Where the names of a header stand.
#[derive(Clone, Debug, Default)]
pub(crate) struct HeaderPlaces {
    by_field: BTreeMap<&'static str, Place>,
}

impl HeaderPlaces {
    /// The place of `name`, `purpose`, `channel` or `recipient`; the purpose's for a clause left out.
    pub(crate) fn of(&self, path: &[&str]) -> Place {
        let field = path.first().copied().unwrap_or("name");
        let place = self
            .by_field
            .get(field)
            .or_else(|| self.by_field.get("purpose"));
        place.copied().unwrap_or(Place::START)
    }
}

struct Parser<'t> {
    scanner: Scanner<'t>,
    places: HeaderPlaces,
    faults: Vec<Fault>,
}

fn fault(place: Place, message: impl Into<String>, fix: impl Into<String>) -> Fault {
    Fault {
        file: String::new(),
        line: place.line,
        column: place.column,
        message: message.into(),
        fix: fix.into(),
    }
}

impl From<Unclosed> for Fault {
    fn from(unclosed: Unclosed) -> Self {
        let message = format!("{} is never closed", unclosed.what);
        fault(unclosed.place, message, "close it")
    }
}

impl<'t> Parser<'t> {
    fn segment(&mut self) -> Result<Option<SegmentDefinition>, Fault> {
        self.keyword("CREATE")?;
        let description = description(&self.scanner.comments);
        self.keyword("SEGMENT")?;
        let name: Option<Slug> = self.name("name", "the segment's name")?;
        self.keyword("FOR")?;
        self.keyword("PURPOSE")?;
        let purpose: Option<PurposeId> = self.name("purpose", "the purpose")?;
        let mut channel: Option<Channel> = None;
        let mut recipient: Option<RecipientId> = None;
        let mut seen = Vec::new();
        loop {
            let (place, word) = self.next_word("CHANNEL, RECIPIENT or AS")?;
            let clause = word.to_ascii_uppercase();
            match clause.as_str() {
                "AS" => break,
                "CHANNEL" => channel = self.name("channel", "the channel")?,
                "RECIPIENT" => recipient = self.name("recipient", "the recipient")?,
                _ => {
                    let message = format!("expected CHANNEL, RECIPIENT or AS, found `{word}`");
                    return Err(fault(place, message, FORM));
                }
            }
            if seen.contains(&clause) {
                let message = format!("{clause} stands twice");
                let fix = "keep one; a segment is made for one channel and one recipient";
                self.faults.push(fault(place, message, fix));
            }
            seen.push(clause);
        }
        let (query, start) = self.query()?;
        let (Some(name), Some(purpose)) = (name, purpose) else {
            return Ok(None);
        };
        Ok(Some(SegmentDefinition {
            name: name.0,
            version: 1,
            purpose,
            channel,
            recipient,
            description,
            query: query.to_owned(),
            query_line: start.line,
            query_column: start.column,
        }))
    }

    fn keyword(&mut self, keyword: &str) -> Result<(), Fault> {
        let (place, word) = self.next_word(keyword)?;
        if word.eq_ignore_ascii_case(keyword) {
            Ok(())
        } else {
            Err(fault(
                place,
                format!("expected {keyword}, found `{word}`"),
                FORM,
            ))
        }
    }

    fn next_word(&mut self, expected: &str) -> Result<(Place, &'t str), Fault> {
        self.scanner.skip_blank()?;
        let place = self.scanner.place();
        if let Some(word) = self.scanner.word() {
            return Ok((place, word));
        }
        let message = match self.scanner.peek() {
            Some(c) => format!("expected {expected}, found `{c}`"),
            None => format!("expected {expected}, but the file ends"),
        };
        Err(fault(place, message, FORM))
    }

    /// A name; one that is malformed is a fault and reading goes on.
    fn name<T>(&mut self, field: &'static str, what: &str) -> Result<Option<T>, Fault>
    where
        T: FromStr,
        T::Err: Display,
    {
        self.scanner.skip_blank()?;
        if matches!(self.scanner.peek(), Some('"' | '\'' | '`')) {
            let message = format!("{what} stands in quotes");
            return Err(fault(self.scanner.place(), message, "remove the quotes"));
        }
        let (place, word) = self.next_word(what)?;
        self.places.by_field.entry(field).or_insert(place);
        match word.parse() {
            Ok(name) => Ok(Some(name)),
            Err(_) => {
                self.faults.push(fault(
                    place,
                    format!("{what} is not a valid name: `{word}`"),
                    "write a lower-case letter followed by at most 63 lower-case letters, digits or \
                     underscores",
                ));
                Ok(None)
            }
        }
    }

    /// What follows `AS`, without the closing semicolon and the white space around it.
    fn query(&mut self) -> Result<(&'t str, Place), Fault> {
        while self.scanner.peek().is_some_and(char::is_whitespace) {
            self.scanner.bump();
        }
        let start = self.scanner.place();
        let from = self.scanner.passed();
        while !matches!(self.scanner.peek(), Some(';') | None) {
            self.scanner.skip_piece()?;
        }
        let query = self.scanner.between(from, self.scanner.passed()).trim_end();
        if query.is_empty() {
            let message = "there is no query after AS";
            return Err(fault(
                start,
                message,
                "write SELECT member_id FROM members WHERE …",
            ));
        }
        if self.scanner.bump().is_some() {
            self.scanner.skip_blank()?;
            if self.scanner.peek().is_some() {
                self.faults.push(fault(
                    self.scanner.place(),
                    "something follows the end of the segment",
                    "put each segment into a file of its own",
                ));
            }
        }
        Ok((query, start))
    }
}

/// The comment above the statement, marks removed.
fn description(comments: &[&str]) -> String {
    let lines: Vec<&str> = comments
        .iter()
        .map(|line| line.trim_start_matches('-').trim())
        .collect();
    lines.join("\n").trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> SegmentDefinition {
        parse_segment("s.sql", text).unwrap()
    }

    fn refused(text: &str) -> Vec<String> {
        let faults = parse_segment("s.sql", text).unwrap_err();
        assert!(
            faults
                .iter()
                .all(|f| f.file == "s.sql" && !f.fix.is_empty())
        );
        faults
            .iter()
            .map(|f| format!("{}:{} {}", f.line, f.column, f.message))
            .collect()
    }

    #[test]
    fn the_header_is_ours_and_the_query_keeps_its_place() {
        let segment = read(
            "-- Regulars who stay away.\n-- Owner: growth.\n\ncreate Segment lapsing\n  FOR PURPOSE email_marketing \
             CHANNEL email\n  AS SELECT member_id -- ; not the end\n     FROM members\n     WHERE city = 'a;b';\n-- bye\n",
        );
        assert_eq!(segment.name, "lapsing");
        assert_eq!(segment.purpose.as_str(), "email_marketing");
        assert_eq!(segment.channel.as_ref().map(Channel::as_str), Some("email"));
        assert_eq!(segment.recipient, None);
        assert_eq!(
            segment.description,
            "Regulars who stay away.\nOwner: growth."
        );
        assert_eq!(
            segment.query,
            "SELECT member_id -- ; not the end\n     FROM members\n     WHERE city = 'a;b'"
        );
        assert_eq!((segment.query_line, segment.query_column), (6, 6));
        assert_eq!(segment.place_in_file(1, 8), (6, 13));
        assert_eq!(segment.place_in_file(3, 6), (8, 6));
    }

    #[test]
    fn clauses_come_in_any_order_and_comments_anywhere() {
        let segment = read(
            "/* a /* nested */ b */ CREATE SEGMENT s FOR PURPOSE p RECIPIENT r -- why\n CHANNEL c AS\n\n\nSELECT 1",
        );
        assert_eq!(
            segment.recipient.as_ref().map(RecipientId::as_str),
            Some("r")
        );
        assert_eq!(segment.channel.as_ref().map(Channel::as_str), Some("c"));
        assert_eq!(
            (segment.query.as_str(), segment.query_line),
            ("SELECT 1", 5)
        );
    }

    #[test]
    fn quotes_hide_semicolons_and_doubled_quotes_close_nothing() {
        let query = "SELECT 'it''s; here', \"a;b\" /* ; */ FROM t";
        let segment = read(&format!("CREATE SEGMENT s FOR PURPOSE p AS {query} ;\n"));
        assert_eq!(segment.query, query);
    }

    #[test]
    fn what_does_not_fit_is_placed() {
        for (text, expected) in [
            ("", "1:1 expected CREATE, but the file ends"),
            ("SELECT 1", "1:1 expected CREATE, found `SELECT`"),
            ("CREATE VIEW s", "1:8 expected SEGMENT, found `VIEW`"),
            (
                "CREATE SEGMENT s\nAS SELECT 1",
                "2:1 expected FOR, found `AS`",
            ),
            (
                "CREATE SEGMENT \"s\" FOR",
                "1:16 the segment's name stands in quotes",
            ),
            (
                "CREATE SEGMENT s FOR PURPOSE p WITH x",
                "1:32 expected CHANNEL, RECIPIENT or AS, found `WITH`",
            ),
            (
                "CREATE SEGMENT s FOR PURPOSE p AS ;",
                "1:35 there is no query after AS",
            ),
            (
                "CREATE SEGMENT s FOR PURPOSE p AS\nSELECT 'x",
                "2:8 this quotation mark is never closed",
            ),
            ("/* x\nCREATE", "1:1 this comment is never closed"),
            (
                "CREATE SEGMENT s FOR PURPOSE p CHANNEL a CHANNEL b AS SELECT 1",
                "1:42 CHANNEL stands twice",
            ),
            (
                "CREATE SEGMENT s FOR PURPOSE p AS SELECT 1; SELECT 2",
                "1:45 something follows the end of the segment",
            ),
        ] {
            assert_eq!(refused(text), [expected], "{text}");
        }
    }

    #[test]
    fn several_faults_are_all_told() {
        assert_eq!(
            refused("CREATE SEGMENT Big FOR PURPOSE E_mail AS SELECT 1;\nSELECT 2"),
            [
                "1:16 the segment's name is not a valid name: `Big`",
                "1:32 the purpose is not a valid name: `E_mail`",
                "2:1 something follows the end of the segment",
            ]
        );
    }

    #[test]
    fn columns_count_characters() {
        let segment = read("/* 流失 */ CREATE SEGMENT s FOR PURPOSE p AS SELECT 1");
        assert_eq!((segment.query_line, segment.query_column), (1, 44));
    }
}
