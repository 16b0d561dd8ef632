//! How large a query's text may be before anybody parses it.
//!
//! The parser bounds nesting, but chains of operators, set operations and joins grow in loops and come out as trees as
//! deep as the chain is long; whatever walks, clones or drops such a tree recurses once per link. So links are counted
//! on the tokens, before there is a tree.

use datafusion::sql::sqlparser::dialect::GenericDialect;
use datafusion::sql::sqlparser::keywords::Keyword;
use datafusion::sql::sqlparser::tokenizer::{Token, Tokenizer};

use crate::error::{Error, Result};

/// How long a query's text may be, in bytes.
const LENGTH_LIMIT: usize = 256 * 1024;
/// How many tokens a query may have, blanks and comments apart.
const TOKEN_LIMIT: usize = 20_000;
/// How many operators, joins, set operations and sub-queries a query may have.
pub(super) const OPERATOR_LIMIT: usize = 500;

/// Refuses a text that is too long, or that holds too many tokens or operators.
///
/// # Errors
/// `Invalid` with the limit. A text that is no SQL passes; the parser says what is wrong with it.
pub(super) fn judge(sql: &str) -> Result<()> {
    if sql.len() > LENGTH_LIMIT {
        return Err(Error::invalid(
            "query_too_long",
            format!("the query is longer than {LENGTH_LIMIT} bytes"),
        ));
    }
    let Ok(tokens) = Tokenizer::new(&GenericDialect {}, sql).tokenize() else {
        return Ok(());
    };
    let (mut all, mut operators) = (0_usize, 0_usize);
    for token in &tokens {
        all += usize::from(!matches!(token, Token::Whitespace(_)));
        operators += usize::from(links(token));
    }
    if all > TOKEN_LIMIT {
        return Err(too_complex(format!(
            "the query has more than {TOKEN_LIMIT} words and signs"
        )));
    }
    if operators > OPERATOR_LIMIT {
        return Err(too_complex(format!(
            "the query has more than {OPERATOR_LIMIT} operators, joins, set operations and sub-queries"
        )));
    }
    Ok(())
}

/// The refusal of a query that is too complex, with what to do instead.
pub(super) fn too_complex(message: String) -> Error {
    Error::invalid("query_too_complex", message)
        .help("write long lists as IN (…), and split the rest into several queries")
}

/// Whether a token can make the tree one level deeper without nesting. Every sign but those of plain lists and names
/// does, so that an operator which a new dialect adds is counted.
fn links(token: &Token) -> bool {
    match token {
        Token::Word(word) => {
            word.quote_style.is_none()
                && matches!(
                    word.keyword,
                    Keyword::AND
                        | Keyword::OR
                        | Keyword::XOR
                        | Keyword::NOT
                        | Keyword::UNION
                        | Keyword::EXCEPT
                        | Keyword::INTERSECT
                        | Keyword::MINUS
                        | Keyword::SELECT
                        | Keyword::VALUES
                        | Keyword::FROM
                        | Keyword::JOIN
                        | Keyword::APPLY
                        | Keyword::IS
                        | Keyword::NOTNULL
                        | Keyword::IN
                        | Keyword::LIKE
                        | Keyword::ILIKE
                        | Keyword::RLIKE
                        | Keyword::REGEXP
                        | Keyword::SIMILAR
                        | Keyword::BETWEEN
                        | Keyword::OVERLAPS
                        | Keyword::COLLATE
                        | Keyword::AT
                        | Keyword::DIV
                        | Keyword::OPERATOR
                        | Keyword::MEMBER
                )
        }
        Token::Whitespace(_)
        | Token::Number(..)
        | Token::SingleQuotedString(_)
        | Token::DoubleQuotedString(_)
        | Token::EscapedStringLiteral(_)
        | Token::NationalStringLiteral(_)
        | Token::UnicodeStringLiteral(_)
        | Token::HexStringLiteral(_)
        | Token::DollarQuotedString(_)
        | Token::Comma
        | Token::Period
        | Token::SemiColon
        | Token::LParen
        | Token::RParen
        | Token::RBracket
        | Token::EOF => false,
        _ => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chains_are_counted_and_lists_are_not() {
        for (chain, link) in [
            ("SELECT 1", "+1"),
            ("SELECT 'a'", "||'a'"),
            ("SELECT true", " OR true"),
            ("SELECT 1", " UNION ALL SELECT 1"),
            ("SELECT 1", "::int"),
            ("SELECT 1", " IS NULL"),
            ("SELECT * FROM members", " JOIN members ON true"),
            ("SELECT x", "[1]"),
            ("SELECT now()", " AT TIME ZONE 'UTC'"),
        ] {
            let sql = |links: usize| format!("{chain}{}", link.repeat(links));
            judge(&sql(100)).expect(chain);
            let error = judge(&sql(600)).expect_err(chain);
            assert_eq!(error.code(), "query_too_complex");
        }
        let list = vec!["'c'"; 9_000].join(", ");
        judge(&format!("SELECT 1 WHERE 'a' IN ({list})")).expect("a list");
        judge(&format!("SELECT 1 WHERE 'a' IN ({list}, {list})")).expect_err("a long list");
        judge(&format!("SELECT '{}'", "+ OR ".repeat(1_000))).expect("a text");
    }
}
