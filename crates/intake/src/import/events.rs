//! From a row to the JSON of its events, as a client would send it.

use assent_consent::Calendar;
use assent_event::Identifier;
use serde_json::{Value, json};
use serde_saphyr::Spanned;

use super::cell::BadCell;
use super::mapping::{Do, EventMapping, Field, Time};
use super::rows::Cells;
use crate::receive::Submitted;
use crate::text::{self, Object};

/// One event of a row.
pub(super) struct Made {
    pub(super) item: Submitted,
    /// Cells that could not be used and were passed on as they are.
    pub(super) passed_on: Vec<BadCell>,
}

/// Makes the event that a mapping wants of this row; `None` if the row does not meet its `when`.
pub(super) fn make(
    event: &EventMapping,
    cells: &Cells,
    calendar: Calendar,
    message_id: &str,
) -> Result<Option<Made>, BadCell> {
    if !applies(event, cells) {
        return Ok(None);
    }
    let mut maker = Maker {
        event,
        cells,
        calendar,
        passed_on: Vec::new(),
    };
    let item = maker.item(message_id)?;
    Ok(Some(Made {
        item,
        passed_on: maker.passed_on,
    }))
}

fn applies(event: &EventMapping, cells: &Cells) -> bool {
    let Some(when) = &event.when else {
        return true;
    };
    let cell = cells.get(&when.column).and_then(text::plain);
    let cell = cell.as_deref().map_or("", str::trim);
    let equals = when.equals.as_deref().is_none_or(|wanted| cell == wanted);
    equals && when.not.as_deref().is_none_or(|unwanted| cell != unwanted)
}

struct Maker<'r> {
    event: &'r EventMapping,
    cells: &'r Cells,
    calendar: Calendar,
    passed_on: Vec<BadCell>,
}

impl Maker<'_> {
    fn item(&mut self, message_id: &str) -> Result<Submitted, BadCell> {
        let event = self.event;
        let about = self.about()?;
        let time = self.time()?;
        Ok(match event.what.route() {
            Some(route) => {
                let mut call = Object::new();
                call.insert("messageId".to_owned(), Value::from(message_id));
                call.extend(time.map(|time| ("timestamp".to_owned(), time)));
                self.put(&mut call, "event", event.event.as_ref())?;
                self.put(&mut call, "groupId", event.group.as_ref())?;
                for (name, fields) in [("properties", &event.properties), ("traits", &event.traits)]
                {
                    let mut object = Object::new();
                    for (name, field) in fields {
                        self.put(&mut object, name, Some(field))?;
                    }
                    if !object.is_empty() {
                        call.insert(name.to_owned(), Value::Object(object));
                    }
                }
                Submitted::Call {
                    route,
                    about: Some(about),
                    value: Value::Object(call),
                }
            }
            None => {
                let mut body = Object::new();
                for (name, field) in &event.fields {
                    self.put_as_told(&mut body, name, field)?;
                }
                body.insert(
                    "subject".to_owned(),
                    json!({ about.namespace.as_str(): about.value }),
                );
                body.insert("message_id".to_owned(), Value::from(message_id));
                body.extend(time.map(|time| ("event_time".to_owned(), time)));
                Submitted::Consent(Value::Object(body))
            }
        })
    }

    /// Whom it is about.
    fn about(&self) -> Result<Identifier, BadCell> {
        let who = &self.event.subject;
        let subject = self.cells.get(&who.column);
        let named = subject.and_then(text::exact).ok_or_else(|| BadCell {
            column: who.column.clone(),
            reason: match subject.is_some_and(text::is_rounded) {
                true => "it is a number that readers of JSON round; write it as a text".into(),
                false => "it does not name a person".into(),
            },
        })?;
        Ok(Identifier {
            namespace: who.namespace.value.clone(),
            value: named.trim().to_owned(),
        })
    }

    fn time(&mut self) -> Result<Option<Value>, BadCell> {
        let Some(field) = self.event.time.as_ref().and_then(Time::column) else {
            return Ok(None);
        };
        let cell = self.cells.get(&field.column);
        let why = match field.instant(cell, self.calendar) {
            Ok(instant) => return Ok(Some(Value::from(instant.to_string()))),
            Err(why) => why,
        };
        let bad = BadCell {
            column: field.column.clone(),
            reason: field.refused_time(why, self.calendar),
        };
        if !self.restricts_perhaps() {
            return Err(bad);
        }
        // Intake refuses what widens with such a time and takes what restricts (I6).
        self.passed_on.push(bad);
        let told = cell.filter(|cell| !cell.is_null()).cloned();
        Ok(Some(told.unwrap_or(Value::from(""))))
    }

    fn put(
        &self,
        object: &mut Object,
        name: &str,
        field: Option<&Spanned<Field>>,
    ) -> Result<(), BadCell> {
        let value = match field.map(|field| &field.value) {
            None => None,
            Some(Field::Constant(value)) => Some(value.clone()),
            Some(Field::Column(field)) => {
                field.value(self.cells.get(&field.column), self.calendar)?
            }
        };
        object.extend(value.map(|value| (name.to_owned(), value)));
        Ok(())
    }

    /// As `put`, but a cell of a decision or fact that cannot be used is passed on as it is: a
    /// restriction must not be lost over it (I6), and intake refuses what widens. A state that its map
    /// does not list is none: it must not be read as a grant for being spelt like one.
    fn put_as_told(
        &mut self,
        object: &mut Object,
        name: &str,
        field: &Spanned<Field>,
    ) -> Result<(), BadCell> {
        match (self.put(object, name, Some(field)), &field.value) {
            (Err(bad), Field::Column(field)) if self.restricts_perhaps() => {
                let told = self.cells.get(&field.column).cloned().unwrap_or_default();
                let is_unlisted = field.map.is_some() && matches!(name, "state" | "fact");
                let told = if is_unlisted { json!([told]) } else { told };
                object.insert(name.to_owned(), told);
                self.passed_on.push(bad);
                Ok(())
            }
            (done, Field::Column(_) | Field::Constant(_)) => done,
        }
    }

    fn restricts_perhaps(&self) -> bool {
        matches!(self.event.what, Do::Decision | Do::Fact)
    }
}
