//! The example sites in `config/sites` are ones that control takes.

use api::check::parse;
use api::site::Site;
use std::path::Path;

#[test]
fn every_example_site_is_sound() {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("../config/sites");
    let mut names = Vec::new();
    for entry in std::fs::read_dir(&directory).unwrap() {
        let path = entry.unwrap().path();
        let document = toml::from_str(&std::fs::read_to_string(&path).unwrap()).unwrap();
        let site = parse::<Site>(document).map_err(|problems| format!("{path:?}: {problems:#?}"));
        names.push(site.unwrap().name);
    }
    names.sort();
    assert_eq!(names, ["api", "shop", "static", "www"]);
}
