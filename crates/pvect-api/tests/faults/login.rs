//! Tickets: logged in, renewed, refused.

use super::*;

const LOGIN: &str = "POST /api2/json/access/ticket";
const VERSION: &str = "GET /api2/json/version";
const START: &str = "POST /api2/json/nodes/pve1/lxc/101/status/start";

fn api(server: &Server, code: Option<OneTimeCode>) -> Api {
    let mut config = config(server);
    config.credentials = password(code);
    Api::new(config).unwrap()
}

#[tokio::test]
async fn a_token_is_sent_with_every_request_and_a_ticket_with_its_guard() {
    let server = Server::start(|_, _| data("1")).await;
    super::api(&server).send(&start()).await.unwrap();
    assert!(server.asked()[0].head.contains(&format!("authorization: PVEAPIToken={TOKEN}\r\n")));
    let server = Server::start(with_login(|_, _| data("1"))).await;
    let api = api(&server, None);
    api.send(&version()).await.unwrap();
    api.send(&start()).await.unwrap();
    assert_eq!(server.lines(), [LOGIN, VERSION, START]);
    let asked = server.asked();
    assert_eq!(asked[0].body, format!("username=ci%40pve&password={PASSWORD}"));
    assert!(asked[1].head.contains("cookie: PVEAuthCookie=PVE%3Asecret-ticket1\r\n"));
    assert!(!asked[1].head.contains("csrf"), "a read needs none");
    assert!(asked[2].head.to_lowercase().contains("csrfpreventiontoken: secret-csrf1\r\n"));
}

#[tokio::test]
async fn a_wrong_password_is_tried_once() {
    let server = Server::start(|_, _| status(401, "authentication failure", r#"{"data":null}"#)).await;
    let api = api(&server, None);
    assert_eq!(failure(&api, &start()).await, "api_unauthenticated 5: authentication failure");
    assert_eq!(server.lines(), [LOGIN]);
}

#[tokio::test]
async fn an_expired_ticket_is_replaced_once() {
    let refusing = |below: usize| {
        with_login(move |_, ticket| {
            if ticket < below { status(401, "permission denied - invalid PVE ticket", "") } else { data("1") }
        })
    };
    let server = Server::start(refusing(2)).await;
    assert_eq!(api(&server, None).send(&start()).await.unwrap(), 1);
    // The first one was refused, so that nothing has happened: it is not the same thing twice.
    assert_eq!(server.lines(), [LOGIN, START, LOGIN, START]);
    let server = Server::start(refusing(9)).await;
    assert_eq!(
        failure(&api(&server, None), &start()).await,
        "api_unauthenticated 5: permission denied - invalid PVE ticket"
    );
    assert_eq!(server.lines(), [LOGIN, START, LOGIN, START]);
}

#[tokio::test]
async fn an_old_ticket_is_renewed_with_itself() {
    let server = Server::start(with_login(|_, ticket| data(&ticket.to_string()))).await;
    let mut config = config(&server);
    config.credentials = password(None);
    config.renew_after = Duration::ZERO;
    let api = Api::new(config).unwrap();
    assert_eq!(api.send(&version()).await.unwrap(), 1);
    assert_eq!(api.send(&version()).await.unwrap(), 2);
    assert_eq!(server.lines(), [LOGIN, VERSION, LOGIN, VERSION]);
    assert_eq!(server.asked()[2].body, "username=ci%40pve&password=PVE%3Asecret-ticket1");
}

#[tokio::test]
async fn a_renewal_that_fails_leads_to_the_password() {
    let server = Server::start(with_login_unless_renewal()).await;
    let mut config = config(&server);
    config.credentials = password(None);
    config.renew_after = Duration::ZERO;
    let api = Api::new(config).unwrap();
    assert_eq!(api.send(&version()).await.unwrap(), 1);
    assert_eq!(api.send(&version()).await.unwrap(), 2);
    assert_eq!(server.lines(), [LOGIN, VERSION, LOGIN, LOGIN, VERSION]);
}

fn with_login_unless_renewal() -> impl Fn(&scripted::Asked, usize) -> Reply + Send + Sync + 'static {
    let login = with_login(|_, ticket| data(&ticket.to_string()));
    move |asked, before| {
        if asked.body.contains("secret-ticket") {
            return status(401, "authentication failure", "");
        }
        login(asked, before)
    }
}

#[tokio::test]
async fn a_second_factor_is_asked_for() {
    let challenging = || {
        Server::start(|asked, _| {
            if asked.line != LOGIN {
                return data("1");
            }
            if !asked.body.contains("tfa-challenge=PVE%3A%21tfa%21secret-ticket") {
                return data(
                    r#"{"username":"ci@pve","ticket":"PVE:!tfa!secret-ticket","NeedTFA":1,"CSRFPreventionToken":"secret-csrf0"}"#,
                );
            }
            if asked.body.contains("password=totp%3A123456") {
                return data(
                    r#"{"username":"ci@pve","ticket":"PVE:secret-ticket","CSRFPreventionToken":"secret-csrf"}"#,
                );
            }
            status(401, "authentication failure", "")
        })
    };
    let answering = |text: &'static str| {
        Some(OneTimeCode::new(move |user| {
            assert_eq!(user, "ci@pve");
            Ok(text.to_owned().into())
        }))
    };
    let server = challenging().await;
    assert_eq!(api(&server, answering("123456\n")).send(&version()).await.unwrap(), 1);
    assert_eq!(server.lines(), [LOGIN, LOGIN, VERSION]);
    let server = challenging().await;
    assert_eq!(
        failure(&api(&server, answering("recovery:123456")), &version()).await,
        "api_unauthenticated 5: authentication failure"
    );
    assert_eq!(server.lines(), [LOGIN, LOGIN]);
    let server = challenging().await;
    assert_eq!(
        failure(&api(&server, None), &version()).await,
        "api_unauthenticated 5: ci@pve needs a one-time code, and nobody can be asked for it here; use a token"
    );
    assert_eq!(server.lines(), [LOGIN]);
}

#[tokio::test]
async fn an_answer_to_the_login_without_a_ticket_is_understood_as_such() {
    let server = Server::start(|_, _| data(r#"{"username":"ci@pve"}"#)).await;
    assert_eq!(
        failure(&api(&server, None), &version()).await,
        "pct_invalid_output 8: the answer of the API could not be understood: it has no ticket"
    );
}

#[tokio::test]
async fn a_login_that_is_lost_is_made_again() {
    let login = with_login(|_, ticket| data(&ticket.to_string()));
    let server =
        Server::start(move |asked, before| if before == 0 { Reply::Close } else { login(asked, before) })
            .await;
    assert_eq!(api(&server, None).send(&version()).await.unwrap(), 1);
    assert_eq!(server.lines(), [LOGIN, LOGIN, VERSION]);
    // The change itself was not sent then, and the error must not say that it may have run.
    let server = Server::start(|_, _| Reply::Close).await;
    let text = failure(&api(&server, None), &start()).await;
    assert_eq!(
        text,
        "connection_lost 7: the connection to '127.0.0.1:PORT' was lost: the server closed it without an answer; \
         the command was never sent"
    );
    assert!(server.lines().iter().all(|line| line == LOGIN));
}
