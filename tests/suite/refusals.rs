//! Refusals over HTTP: what they tell, and to whom.

use std::sync::Arc;
use std::time::Duration;

use assent_journal::Journal;
use assent_permit::Permit;
use assent_programme::{
    Fault, Plan, Principal, RegistryState, Role, apply, principal_added, principal_revoked,
    token_sha256,
};
use assent_projection::{LocalStorage, Profiles};
use assent_segment::{Engine, Limits, Stores};
use assent_vault::{RandomSource, SharedRng, Vault};
use axum::Router;
use axum::body::{Body, to_bytes};
use axum::http::Request;
use rand::SeedableRng;
use rand::rngs::StdRng;
use serde_json::{Value, json};
use tower::ServiceExt;

use crate::house::{House, Opening, TOKEN, grant};

async fn post(router: &Router, path: &str, token: &str, body: &Value) -> (u16, String) {
    let request = Request::post(path)
        .header("authorization", format!("Bearer {token}"))
        .body(Body::from(body.to_string()))
        .unwrap();
    let response = router.clone().oneshot(request).await.unwrap();
    let status = response.status().as_u16();
    let bytes = to_bytes(response.into_body(), usize::MAX).await.unwrap();
    (status, String::from_utf8(bytes.to_vec()).unwrap())
}

/// How far an index got tells how much everybody does, and whoever asks has shown no token yet.
#[tokio::test]
async fn an_index_that_lags_tells_nobody_how_far_it_is() {
    let house = Opening::sample().open().await;
    let config = assent_permit::Config {
        barrier_timeout: Duration::from_millis(300),
        ..assent_permit::Config::default()
    };
    let permit = Permit::start(
        Arc::clone(&house.journal) as Arc<dyn Journal>,
        Arc::clone(&house.vault) as Arc<dyn Vault>,
        config,
    )
    .unwrap();
    while permit.barrier().await.is_err() {}
    let lagging = over(&house, permit);
    let router = house.router_over(&lagging);
    let ask = json!({"sql": "SELECT 1", "purpose": "email_marketing"});
    assert_eq!(
        post(&router, "/v1/query", TOKEN, &ask).await.0,
        200,
        "control"
    );

    lagging
        .permit()
        .hooks()
        .delay_applier(Duration::from_secs(2));
    house.decide(grant("a", "email_marketing")).await;
    let why = lagging.permit().barrier().await.unwrap_err().to_string();
    assert!(why.contains("assent.consent"), "control: {why}");
    for (path, token) in [
        ("/v1/query", "nobody"),
        ("/v1/query", TOKEN),
        ("/v1/explain", "nobody"),
        ("/v1/segments/lapsing_regulars/run", "nobody"),
    ] {
        let (status, told) = post(&router, path, token, &ask).await;
        assert_eq!(status, 503, "{path} {token}: {told}");
        assert!(told.contains("\"barrier\""), "{told}");
        assert!(!told.contains("assent."), "{told}");
    }
}

fn over(house: &House, permit: Permit) -> Arc<Engine> {
    Engine::new(
        Stores {
            permit: Arc::new(permit),
            journal: Arc::clone(&house.journal) as Arc<dyn Journal>,
            vault: Arc::clone(&house.vault) as Arc<dyn Vault>,
            profiles: Arc::new(Profiles::new(Arc::new(LocalStorage::new(
                &house.dir.path().join("profiles"),
            )))),
        },
        Arc::new(|| assent_consent::Timestamp::parse_rfc3339("2026-11-01T00:00:00Z").unwrap()),
        Arc::new(SharedRng::new(StdRng::seed_from_u64(3))) as Arc<dyn RandomSource>,
        Limits::default(),
    )
}

#[tokio::test]
async fn what_is_asked_to_be_explained_is_one_thing() {
    let house = Opening::sample().open().await;
    let router = house.router();
    let member = "00112233445566778899aabbccddeeff";
    let sql = "SELECT member_id FROM members";
    for (body, expected) in [
        (
            json!({"member": member, "sql": sql, "under": "rights_handling"}),
            "member_and_sql",
        ),
        (
            json!({"sql": sql, "under": "rights_handling"}),
            "under_without_member",
        ),
        (json!({"under": "rights_handling"}), "under_without_member"),
        (json!({"member": member}), "under_missing"),
    ] {
        let mut body = body;
        body["purpose"] = json!("email_marketing");
        let (status, told) = post(&router, "/v1/explain", "officer-token", &body).await;
        let told: Value = serde_json::from_str(&told).unwrap();
        assert_eq!(
            (status, told["code"].as_str()),
            (400, Some(expected)),
            "{told}"
        );
    }
    for body in [
        json!({"purpose": "email_marketing"}),
        json!({"purpose": "email_marketing", "sql": sql}),
        json!({"purpose": "email_marketing", "member": member, "under": "rights_handling"}),
    ] {
        let (status, told) = post(&router, "/v1/explain", "officer-token", &body).await;
        assert_eq!(status, 200, "{told}");
    }
}

/// The routes that open a session know the principal by what is known already and look again behind the session's barrier.
#[tokio::test]
async fn a_token_counts_as_of_now_on_every_route() {
    let house = Opening::sample().open().await;
    let router = house.router();
    let ask = json!({"sql": "SELECT 1", "purpose": "email_marketing"});
    assert_eq!(post(&router, "/v1/query", TOKEN, &ask).await.0, 200);
    // The index has not heard of it when the request comes.
    house
        .permit
        .hooks()
        .delay_applier(Duration::from_millis(300));
    let late = Principal {
        name: "late".to_owned(),
        token_sha256: token_sha256("late-token"),
        role: Role::Analyst,
        purposes: ["email_marketing".parse().unwrap()].into(),
        revoked: false,
    };
    change(&house, |registry| principal_added(registry, late)).await;
    assert_eq!(post(&router, "/v1/query", "late-token", &ask).await.0, 200);
    change(&house, |registry| principal_revoked(registry, "late")).await;
    let (status, told) = post(&router, "/v1/query", "late-token", &ask).await;
    assert!(matches!(status, 401 | 403), "{status} {told}");
}

/// Journals a change of definitions and does not wait until it is applied.
async fn change(house: &House, plan: impl FnOnce(&RegistryState) -> Result<Plan, Vec<Fault>>) {
    let registry = RegistryState::fold(house.journal.as_ref()).await.unwrap();
    let plan = plan(&registry).unwrap();
    apply(house.journal.as_ref(), &plan, house.now())
        .await
        .unwrap();
}
