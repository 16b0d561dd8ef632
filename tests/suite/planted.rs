//! Personal values planted at every entry are nowhere in the journal, the vault, the log output or an error; direct
//! identifiers are in no profile either. The same with sealing switched off must find them: else the test looks in the
//! wrong place.

use std::collections::BTreeSet;
use std::io::Write;
use std::path::Path;
use std::sync::{Arc, Mutex, OnceLock};

use assent_event::{KeyClass, Kind, Payload, SubjectFact};
use assent_intake::{Caller, Outcome, Route};
use assent_journal::{ReadLimit, Topic};
use assent_vault::Sealing;
use serde_json::json;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::MakeWriter;

use crate::house::{BROWSER_KEY, House, Opening, SERVER_KEY, grant, withdrawal};
use crate::scan::{self, Needles};

const NAME: &str = "Planted-Zhao-Mingyue-赵明月";
const PHONE: &str = "+8613957104477";
const EMAIL: &str = "planted.mingyue@lanshan.example";
const OPENID: &str = "oPLANTEDopenid7741x";
const CUSTOMER: &str = "PLANTED-CUST-7741";
const ANONYMOUS: &str = "planted-anon-9f31";
const BIRTH_DATE: &str = "1987-03-14";
/// The same, in days since 1970.
const BIRTH_DAY: i32 = 6_281;
const CITY: &str = "Plantedcity-湖州";
const PRODUCT: &str = "Planted-Longjing-5530";
const HEALTH: &str = "planted-insomnia-8812";
const EVIDENCE: &str = "planted evidence scan 5512";
const URL: &str = "https://planted.example/profile/7741";
const INDICATION: &str = "planted-indication-3301";
const TITLE: &str = "planted-purchasing-director";
const PLAN: &str = "planted-monthly-2209";
const NOTE: &str = "planted free note 1187";
const REASON: &str = "planted reason 4431";
const REJECTED: &str = "planted rejected body 6620";
const UNDECLARED: &str = "planted undeclared trait 9003";

/// What only the vault is told.
const IDENTIFIERS: [(&str, &str); 2] = [("customer", CUSTOMER), ("anonymous", ANONYMOUS)];
/// Direct identifiers that are told to events as well, and stay sealed there.
const DIRECT: [(&str, &str); 3] = [("phone", PHONE), ("email", EMAIL), ("openid", OPENID)];
/// What is no column of any table.
const SEALED: [(&str, &str); 7] = [
    ("name", NAME),
    ("birth date", BIRTH_DATE),
    ("evidence", EVIDENCE),
    ("url", URL),
    ("indication", INDICATION),
    ("reason", REASON),
    ("rejected", REJECTED),
];
/// What is a column: in clear in the profiles, and nowhere else.
const COLUMNS: [(&str, &str); 6] = [
    ("city", CITY),
    ("product", PRODUCT),
    ("health", HEALTH),
    ("title", TITLE),
    ("plan", PLAN),
    ("note", NOTE),
];
/// What is not kept at all.
const DROPPED: [(&str, &str); 1] = [("undeclared", UNDECLARED)];

fn needles() -> Needles {
    let all = [&IDENTIFIERS[..], &DIRECT, &SEALED, &COLUMNS, &DROPPED].concat();
    let all: Vec<(&'static str, &[u8])> = all
        .into_iter()
        .map(|(name, value)| (name, value.as_bytes()))
        .collect();
    Needles::of(&all)
}

fn names(values: &[(&'static str, &'static str)]) -> BTreeSet<&'static str> {
    values.iter().map(|(name, _)| *name).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn planted_values_are_nowhere_in_clear() {
    let log = Log::installed();
    let house = Opening::sample().open().await;
    let said = plant(&house).await;
    let subject = house.subject("customer_no", CUSTOMER);
    house.project().await;
    let shown = show_errors(&house).await;
    let dir = house.close().await;
    let (dir, needles) = (dir.path(), needles());

    assert_eq!(needles.found_in(&scan::journal(dir).await), BTreeSet::new());
    let vault = scan::vault(dir);
    assert_eq!(needles.found_in(&vault), BTreeSet::new());
    // The control of the vault: what does stand there in clear is found.
    let known = Needles::of(&[("subject", subject.as_bytes())]);
    assert_eq!(known.found_in(&vault).len(), 1);

    let profiles = scan::profiles(dir);
    let mut in_profiles = BTreeSet::new();
    for (column, cells) in &profiles {
        let found = needles.found(cells);
        assert!(
            found.is_subset(&names(&COLUMNS)),
            "{column} holds {found:?}"
        );
        in_profiles.extend(found);
    }
    // The control of the profiles: all columns were read.
    assert_eq!(in_profiles, names(&COLUMNS));

    assert_birth_date(dir, Sealing::On).await;
    for text in said.iter().chain(&shown) {
        assert_eq!(needles.found(text.as_bytes()), BTreeSet::new(), "{text}");
    }
    tracing::info!(target: "assent_tests", "the log is written to: {NOTE}");
    let written = log.written();
    let found: Vec<&str> = written
        .lines()
        .filter(|line| !needles.found(line.as_bytes()).is_empty())
        .collect();
    assert_eq!(found.len(), 1, "{found:#?}");
    assert!(found[0].contains("the log is written to"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_sealing_the_same_search_finds_them() {
    let mut opening = Opening::sample();
    opening.sealed = false;
    let house = opening.open().await;
    plant(&house).await;
    let dir = house.close().await;
    let found = needles().found_in(&scan::journal(dir.path()).await);
    // The customer's number stands in the bodies of refused items; the other identifier is told to the vault alone.
    let mut expected = names(&[&DIRECT[..], &SEALED, &COLUMNS].concat());
    expected.insert("customer");
    assert_eq!(found, expected);
    assert_birth_date(dir.path(), Sealing::Off).await;
}

/// Tells everything planted, through every entry. Returns what was answered.
async fn plant(house: &House) -> Vec<String> {
    let mut answers: Vec<Outcome> = Vec::new();
    let about = json!({"customer_no": CUSTOMER});
    let mut proven = grant(CUSTOMER, "email_marketing");
    proven["authenticated"] = true.into();
    proven["subject"] =
        json!([about, {"phone": PHONE}, {"email": EMAIL}, {"wechat_openid": OPENID}]);
    proven["evidence"] = json!({
        "scan": EVIDENCE, "signed_by": NAME, "born": BIRTH_DATE, "call": PHONE, "openid": OPENID,
    });
    proven["indication"] = INDICATION.into();
    proven["recorded_by"] = NAME.into();
    proven["collection_point"] = URL.into();
    proven["agent"] = EMAIL.into();
    let facts = json!([
        {"subject": about, "fact": "birth_date", "birth_date": BIRTH_DATE, "reason": REASON, "recorded_by": NAME},
        {"subject": about, "fact": "public_source", "url": URL, "message_id": "source-1"},
        {"subject": about, "fact": "linked", "other": {"phone": PHONE}},
        {"subject": about, "fact": "contract_started", "contract": "c-1", "message_id": "contract-1"},
    ]);
    let mut refusal = withdrawal(CUSTOMER, "sms_marketing");
    refusal["evidence"] = EVIDENCE.into();
    refusal["indication"] = INDICATION.into();
    for body in [proven, facts, refusal] {
        answers.extend(house.consents(SERVER_KEY, body).await);
    }
    assert!(
        answers.iter().all(crate::house::is_journalled),
        "{answers:?}"
    );

    let person = json!({"userId": CUSTOMER, "anonymousId": ANONYMOUS});
    let with = |more: serde_json::Value| {
        let mut call = person.clone();
        call.as_object_mut()
            .unwrap()
            .extend(more.as_object().unwrap().clone());
        call
    };
    let calls = [
        (
            Route::Identify,
            with(json!({
                "traits": {
                    "email": EMAIL, "phone": PHONE, "wechat_openid": OPENID, "openid": OPENID, "city": CITY,
                    "name": UNDECLARED, "avoids_caffeine": true,
                },
                "context": {"traits": {"home_store": NOTE}, "ip": UNDECLARED},
            })),
        ),
        (
            Route::Group,
            with(json!({"groupId": "acme", "traits": {"job_title": TITLE, "name": "Acme"}})),
        ),
        (
            Route::Track,
            with(json!({"event": "Order Completed", "properties": {
                "revenue": 99.5, "product": PRODUCT, "note": NOTE, "health_concern": HEALTH,
                "phone": PHONE, "buyer": {"email": EMAIL, "phone": PHONE, "openid": OPENID},
            }})),
        ),
        (
            Route::Track,
            with(json!({"event": "Subscription Started", "properties": {
                "subscription_id": "s-1", "plan": PLAN, "amount": 12,
            }})),
        ),
        (
            Route::Page,
            with(json!({"name": NOTE, "properties": {"search": NOTE}})),
        ),
        (Route::Screen, with(json!({"name": NOTE}))),
        (
            Route::Alias,
            json!({"userId": CUSTOMER, "previousId": format!("{ANONYMOUS}-before")}),
        ),
    ];
    for (route, call) in calls {
        let answered = house.call(SERVER_KEY, route, call).await;
        assert!(
            answered.iter().all(crate::house::is_journalled),
            "{answered:?}"
        );
        answers.extend(answered);
    }
    answers.extend(
        house
            .call(
                BROWSER_KEY,
                Route::Track,
                json!({
                    "anonymousId": ANONYMOUS, "event": "Segment Consent Preference Updated",
                    "properties": {"evidence": EVIDENCE},
                    "context": {"consent": {"categoryPreferences": {"advertising": false}}},
                }),
            )
            .await,
    );
    answers.extend(reject(house).await);
    import(house).await;
    answers
        .iter()
        .flat_map(|outcome| match outcome {
            Outcome::Rejected(why) => {
                vec![format!("{why:?}"), format!("{} {}", why.message, why.fix)]
            }
            Outcome::Journalled { .. } | Outcome::Duplicate => vec![format!("{outcome:?}")],
        })
        .collect()
}

/// Items that are refused, each with something planted in it.
async fn reject(house: &House) -> Vec<Outcome> {
    let all = format!("{REJECTED} {NAME} {PHONE} {EMAIL} {HEALTH}");
    let mut answers = Vec::new();
    let mut unproven = grant(CUSTOMER, "email_marketing");
    unproven["notice"] = serde_json::Value::Null;
    unproven["evidence"] = all.as_str().into();
    let mut unknown = grant(CUSTOMER, "email_marketing");
    unknown["purpose"] = REJECTED.into();
    let mut limited = grant(CUSTOMER, "email_marketing");
    limited[NAME] = all.as_str().into();
    limited["channel"] = PHONE.into();
    let nobody = json!({"state": "withdrawn", "purpose": "all", "evidence": all});
    let fact = json!({"subject": {"customer_no": CUSTOMER}, "fact": REJECTED, "reason": all});
    let bodies = json!([unproven, unknown, limited, nobody, fact, all]);
    answers.extend(house.consents(SERVER_KEY, bodies).await);
    let items = json!({"batch": [
        {"type": "track", "event": all},
        {"type": all, "userId": CUSTOMER},
        {"type": "track", "userId": {"email": EMAIL}, "event": all},
        {"type": "track", "userId": CUSTOMER, "event": "x", "timestamp": all},
        {"type": "identify", "userId": CUSTOMER, "traits": {"city": "x".repeat(40_000)}, "note": all},
    ]});
    answers.extend(house.call(SERVER_KEY, Route::Batch, items).await);
    assert!(
        answers
            .iter()
            .all(|outcome| matches!(outcome, Outcome::Rejected(_))),
        "{answers:?}"
    );
    answers
}

async fn import(house: &House) {
    let dir = house.dir.path();
    let file = dir.join("planted.csv");
    let rows = [
        "no,phone,city,product,health,how,comment".to_owned(),
        format!("{CUSTOMER},{PHONE},{CITY},{PRODUCT},{HEALTH},{EVIDENCE},{NOTE}"),
        format!("{CUSTOMER},{PHONE},{CITY},{PRODUCT},{HEALTH},,{NOTE}"),
        format!(",{PHONE},{CITY},{PRODUCT},{HEALTH},{EVIDENCE},{REJECTED}"),
    ];
    std::fs::write(&file, rows.join("\n")).unwrap();
    let mapping = dir.join("planted.yaml");
    std::fs::write(&mapping, MAPPING).unwrap();
    let progress = house.import(&file, &mapping).await;
    assert_eq!((progress.rows, progress.rejected), (3, 2), "{progress:?}");
    let rejects = std::fs::read_to_string(dir.join("import.csv.rejects.csv")).unwrap();
    assert_eq!(
        needles().found(rejects.as_bytes()),
        BTreeSet::new(),
        "{rejects}"
    );
}

const MAPPING: &str = "
name: planted
source: demo-server
format: csv
events:
  - do: identify
    subject: {namespace: customer_no, column: no}
    traits: {phone: {column: phone}, city: {column: city}}
  - do: track
    subject: {namespace: customer_no, column: no}
    event: Order Completed
    properties:
      product: {column: product}
      health_concern: {column: health}
      comment: {column: comment}
  - do: decision
    subject: {namespace: customer_no, column: no}
    fields:
      state: granted
      purpose: email_marketing
      notice: membership@2
      act: signature
      actor: agent
      evidence: {column: how}
    time: now
";

/// What errors and things in passing show of themselves.
async fn show_errors(house: &House) -> Vec<String> {
    // The banner withdrew it for everybody linked with the browser.
    let mut again = grant(CUSTOMER, "email_marketing");
    again["authenticated"] = true.into();
    house.decide(again).await;
    // A literal of a query is neither logged nor kept with the record of the use.
    let sql = format!("SELECT member_id FROM members WHERE city = '{CITY}'");
    assert_eq!(house.rows("email_marketing", &sql).await.len(), 1);
    let mut shown = Vec::new();
    for sql in [
        "SELECT CAST(city AS BIGINT) FROM members",
        "SELECT 1 / (CASE WHEN city LIKE 'P%' THEN 0 ELSE 1 END) FROM members",
        "SELECT CAST(product AS DATE) FROM events",
        "SELECT phone FROM members",
    ] {
        let error = house.ask("email_marketing", sql).await.unwrap_err();
        shown.push(format!("{error} {error:?}"));
    }
    for body in [
        format!("{{\"batch\": [{REJECTED}"),
        format!("{{\"batch\": \"{REJECTED}\"}}"),
    ] {
        let caller = Caller::with_key(SERVER_KEY);
        let error = house
            .intake
            .events(&caller, Route::Batch, body.into_bytes())
            .await
            .unwrap_err();
        shown.push(format!("{error} {error:?} {caller:?}"));
    }
    let identifier = crate::house::identifier("phone", PHONE);
    shown.push(format!("{identifier:?}"));
    let topic = Topic::new(assent_event::topics::PROFILE);
    for partition in 0..house.journal.partitions(&topic).unwrap() {
        let read = house
            .journal
            .read(&topic, partition, 0, ReadLimit::default());
        for stored in read.await.unwrap().records {
            let envelope = assent_event::Envelope::decode(&stored.value).unwrap();
            shown.push(format!("{stored:?} {envelope:?}"));
        }
    }
    shown
}

/// A birth date is a number of days, too short to be looked for: its block is compared instead.
async fn assert_birth_date(dir: &Path, sealing: Sealing) {
    let mut fact = SubjectFact::birth_date(BIRTH_DAY);
    fact = fact.reason(REASON).recorded_by(NAME);
    let (clear, blocks) = Payload::from(fact).blocks().unwrap();
    let (_, plain) = blocks
        .iter()
        .find(|(class, _)| *class == KeyClass::Identity)
        .unwrap();
    let events = scan::events(dir).await;
    let of_birth = events
        .iter()
        .filter(|event| event.kind == Kind::SubjectFact && event.clear == clear)
        .collect::<Vec<_>>();
    assert_eq!(of_birth.len(), 1);
    let sealed = of_birth[0]
        .sealed
        .iter()
        .find(|block| block.class == KeyClass::Identity)
        .unwrap();
    let bare = sealed
        .ciphertext
        .windows(plain.len())
        .any(|part| part == plain);
    assert_eq!(bare, sealing == Sealing::Off);
}

/// What the product writes to its log, in memory.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Log {
    /// The log of this process, everything of ours included.
    fn installed() -> Self {
        static LOG: OnceLock<Log> = OnceLock::new();
        LOG.get_or_init(|| {
            let log = Self::default();
            tracing_subscriber::fmt()
                .with_env_filter(EnvFilter::new("debug,assent=trace"))
                .with_ansi(false)
                .with_writer(log.clone())
                .init();
            log
        })
        .clone()
    }

    fn written(&self) -> String {
        String::from_utf8_lossy(&self.0.lock().unwrap()).into_owned()
    }
}

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl<'w> MakeWriter<'w> for Log {
    type Writer = Self;

    fn make_writer(&'w self) -> Self {
        self.clone()
    }
}
