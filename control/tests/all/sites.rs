//! Sites: make, read, replace, remove; pages; conflicts; conditions.

use crate::on_both_databases;
use crate::service::{Database, changed, site};
use serde_json::{Value, json};

on_both_databases!(
    a_site_is_made_read_replaced_and_removed,
    toml_is_as_good_as_json,
    conditions_guard_changes,
    every_problem_of_a_site_is_named,
    names_and_hosts_are_of_one_site,
    pages_follow_each_other,
    pages_of_large_documents_are_shorter,
);

async fn a_site_is_made_read_replaced_and_removed(database: Database) {
    let service = database.start().await;
    let control = service.client(&["sites:write"]).await;
    let made = control.post("/v1/sites", &site("a")).await.expect(201);
    let (record, id) = (made.json(), made.json()["id"].as_str().unwrap().to_owned());
    assert_eq!(made.header("location"), format!("/v1/sites/{id}"));
    assert_eq!((&record["revision"], &record["seq"]), (&json!(1), &json!(1)));
    assert_eq!(record["created_at"], record["updated_at"]);
    for name in [&id, "a"] {
        let read = control.get(&format!("/v1/sites/{name}")).await.expect(200);
        assert_eq!((read.json(), read.header("etag")), (record.clone(), "\"1\""));
    }
    let replaced =
        control.put("/v1/sites/a", "\"1\"", &changed("b", "x.example")).await.expect(200);
    assert_eq!((&replaced.json()["revision"], &replaced.json()["seq"]), (&json!(2), &json!(2)));
    assert_eq!(replaced.json()["created_at"], record["created_at"]);
    assert_eq!(replaced.header("etag"), "\"2\"");
    control.get("/v1/sites/a").await.expect(404);
    assert_eq!(control.get("/v1/sites/b").await.expect(200).json()["id"], json!(id));
    control.send("DELETE", "/v1/sites/b", &[], "").await.expect(204);
    control.get(&format!("/v1/sites/{id}")).await.expect(404);
    control.send("DELETE", "/v1/sites/b", &[], "").await.expect(404);
    // name and hosts are free again, for another site
    let again = control.post("/v1/sites", &site("a")).await.expect(201).json();
    assert_ne!(again["id"], json!(id));
    assert_eq!(again["seq"], 4);
}

async fn toml_is_as_good_as_json(database: Database) {
    let service = database.start().await;
    let toml = "name = 'a'\nhosts = ['a.example']\norigins = [{ name = 'main', url = 'http://127.0.0.1:9000' }]\n";
    let headers = [("content-type", "application/toml; charset=utf-8")];
    let made = service.admin.send("POST", "/v1/sites", &headers, toml).await.expect(201);
    let same = service.admin.put("/v1/sites/a", "*", &site("a")).await.expect(200);
    assert_eq!(made.json(), same.json());
    let headers = [("content-type", "application/toml"), ("if-match", "\"1\"")];
    let text = toml.replace("a.example", "b.example");
    let replaced = service.admin.send("PUT", "/v1/sites/a", &headers, text).await.expect(200);
    assert_eq!(replaced.json()["revision"], 2);
}

async fn conditions_guard_changes(database: Database) {
    let service = database.start().await;
    let control = &service.admin;
    control.post("/v1/sites", &site("a")).await.expect(201);
    let json_only = [("content-type", "application/json")];
    control.send("PUT", "/v1/sites/a", &json_only, site("a").to_string()).await.expect(428);
    for (condition, status) in [("\"2\"", 412), ("W/\"1\"", 412), ("1", 400), ("\"1\", x", 400)] {
        control.put("/v1/sites/a", condition, &changed("a", "b.example")).await.expect(status);
    }
    let failed = control.put("/v1/sites/a", "\"7\"", &site("a")).await.expect(412);
    assert_eq!(failed.header("etag"), "\"1\"");
    // an equal document is no change
    let same = control.put("/v1/sites/a", "\"1\"", &site("a")).await.expect(200);
    assert_eq!((&same.json()["revision"], &same.json()["seq"]), (&json!(1), &json!(1)));
    control.put("/v1/sites/a", "\"9\", \"1\"", &changed("a", "b.example")).await.expect(200);
    control.put("/v1/sites/a", "*", &changed("a", "c.example")).await.expect(200);
    control.put("/v1/sites/none", "*", &site("none")).await.expect(404);
    for (condition, status) in
        [("\"3\"", 304), ("W/\"3\"", 304), ("*", 304), ("\"2\"", 200), ("3", 400)]
    {
        let headers = [("if-none-match", condition)];
        let answer = control.send("GET", "/v1/sites/a", &headers, "").await.expect(status);
        assert!(status == 400 || answer.header("etag") == "\"3\"");
        assert_eq!(answer.body.is_empty(), status == 304);
    }
    control.send("DELETE", "/v1/sites/a", &[("if-match", "\"2\"")], "").await.expect(412);
    control.send("DELETE", "/v1/sites/a", &[("if-match", "\"3\"")], "").await.expect(204);
}

async fn every_problem_of_a_site_is_named(database: Database) {
    let service = database.start().await;
    let wrong = json!({
        "name": "A", "hosts": ["a.example", 5], "colour": "red",
        "origins": [{ "name": "main", "url": "ftp://x" }],
    });
    let answer = service.admin.post("/v1/sites", &wrong).await.expect(422);
    for field in ["name", "hosts[1]", "colour", "origins[0].url"] {
        assert!(answer.fields().iter().any(|found| found == field), "{field}: {:?}", answer.json());
    }
    service.admin.post("/v1/sites", &site("a")).await.expect(201);
    service.admin.put("/v1/sites/a", "*", &wrong).await.expect(422);
    assert_eq!(service.admin.get("/v1/sites/a").await.json()["revision"], 1);
}

async fn names_and_hosts_are_of_one_site(database: Database) {
    let service = database.start().await;
    let control = &service.admin;
    let mut first = site("a");
    first["hosts"] = json!(["a.example", "*.b.example", "bücher.example"]);
    control.post("/v1/sites", &first).await.expect(201);
    let mut second = site("a");
    second["hosts"] = json!(["free.example", "A.Example", "xn--bcher-kva.example", "x.b.example"]);
    let refused = control.post("/v1/sites", &second).await.expect(409);
    assert_eq!(refused.fields(), ["name", "hosts[1]", "hosts[2]"]);
    assert!(refused.json()["errors"][1]["detail"].as_str().unwrap().contains("`a`"));
    // nothing of the refused site is left
    control.post("/v1/sites", &changed("b", "free.example")).await.expect(201);
    let refused = control.put("/v1/sites/b", "*", &changed("a", "*.B.example")).await.expect(409);
    assert_eq!(refused.fields(), ["name", "hosts[0]"]);
    // a host that is given up is free
    control.put("/v1/sites/a", "*", &changed("a", "a.example")).await.expect(200);
    control.put("/v1/sites/b", "*", &changed("b", "*.b.example")).await.expect(200);
}

async fn pages_follow_each_other(database: Database) {
    let service = database.start().await;
    let control = &service.admin;
    let mut made = Vec::new();
    for number in 0..250 {
        let site = site(&format!("s{number}"));
        made.push(control.post("/v1/sites", &site).await.expect(201).json()["id"].clone());
    }
    for (limit, sizes) in
        [("", vec![50; 5]), ("limit=200", vec![200, 50]), ("limit=125", vec![125; 2])]
    {
        let (mut found, mut pages, mut after) = (Vec::new(), Vec::new(), String::new());
        loop {
            let page = control.get(&format!("/v1/sites?{limit}{after}")).await.expect(200).json();
            let sites = page["sites"].as_array().unwrap();
            pages.push(sites.len());
            found.extend(sites.iter().map(|site| site["id"].clone()));
            let Some(next) = page["next"].as_str() else { break };
            after = format!("&after={next}");
        }
        assert_eq!((&pages, &found), (&sizes, &made), "{limit}");
    }
    let named = control.get("/v1/sites?name=s17").await.expect(200).json();
    assert_eq!((&named["sites"][0]["id"], &named["next"]), (&made[17], &Value::Null));
    assert_eq!(control.get("/v1/sites?name=s250").await.expect(200).json(), json!({"sites": []}));
    // a page is found also after a site that is gone
    control.send("DELETE", "/v1/sites/s9", &[], "").await.expect(204);
    let path = format!("/v1/sites?limit=1&after={}", made[9].as_str().unwrap());
    assert_eq!(control.get(&path).await.expect(200).json()["sites"][0]["id"], made[10]);
}

async fn pages_of_large_documents_are_shorter(database: Database) {
    let service = database.start().await;
    let target = format!("/{}", "x".repeat(1_900));
    let rules: Vec<Value> = (0..100)
        .map(|number| json!({ "paths": [format!("/{number}")], "redirect": { "to": target } }))
        .collect();
    for number in 0..30 {
        let mut site = site(&format!("s{number}"));
        site["rules"] = json!(rules);
        service.admin.post("/v1/sites", &site).await.expect(201);
    }
    let page = service.admin.get("/v1/sites?limit=200").await.expect(200).json();
    let first = page["sites"].as_array().unwrap().len();
    assert!((10..30).contains(&first), "{first}");
    let next = page["next"].as_str().unwrap();
    let page = service.admin.get(&format!("/v1/sites?limit=200&after={next}")).await.json();
    assert_eq!(page["sites"].as_array().unwrap().len() + first, 30);
}
