//! The body of a tracking request: its items, and what it says for all of them.

use serde_json::Value;

use super::{Route, Shared};
use crate::error::Error;
use crate::json::Sent;
use crate::limits::Limits;
use crate::text::{self, Object};

/// A parsed body.
pub(crate) struct Body {
    root: Object,
    items: Vec<Value>,
}

impl Body {
    pub(crate) fn parse(route: Route, bytes: &[u8], limits: &Limits) -> Result<Self, Error> {
        if bytes.len() > limits.body_bytes {
            return Err(Error::BodyTooLarge {
                found: bytes.len(),
                limit: limits.body_bytes,
            });
        }
        // A repeated name has no single value: a category preferred and not preferred is not.
        let root = match Sent::one(bytes)?.value {
            Value::Object(root) => root,
            Value::Null
            | Value::Bool(_)
            | Value::Number(_)
            | Value::String(_)
            | Value::Array(_) => {
                return Err(Error::Shape("the body is a JSON object"));
            }
        };
        Self::of(route, root, limits)
    }

    fn of(route: Route, mut root: Object, limits: &Limits) -> Result<Self, Error> {
        let items = match route {
            Route::Batch => match root.remove("batch") {
                Some(Value::Array(items)) => items,
                Some(_) | None => {
                    return Err(Error::Shape("a batch is {\"batch\": [event, …]}"));
                }
            },
            Route::Track
            | Route::Identify
            | Route::Page
            | Route::Screen
            | Route::Group
            | Route::Alias => {
                let mut item = root.clone();
                // A rejected item is recorded; a key is not.
                item.remove("writeKey");
                vec![Value::Object(item)]
            }
        };
        if items.len() > limits.events {
            return Err(Error::TooManyEvents {
                found: items.len(),
                limit: limits.events,
            });
        }
        Ok(Self { root, items })
    }

    /// The write key in the body, if there is one.
    pub(crate) fn write_key(&self) -> Option<&str> {
        self.root.get("writeKey").and_then(Value::as_str)
    }

    pub(crate) fn items(&self) -> &[Value] {
        &self.items
    }

    pub(crate) fn shared(&self) -> Shared<'_> {
        Shared {
            sent_at: self.root.get("sentAt"),
            context: text::object(&self.root, "context"),
        }
    }
}
