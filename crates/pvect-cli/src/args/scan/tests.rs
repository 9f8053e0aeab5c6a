//! Command lines as words, and what is read of them.

use super::*;

fn words(text: &str) -> Vec<String> {
    text.split(' ').filter(|word| !word.is_empty()).map(str::to_owned).collect()
}

fn scan(words: &[String]) -> Result<(Globals, Line)> {
    let mut globals = Globals::default();
    let line = read(words, &mut globals)?;
    Ok((globals, line))
}

fn line(text: &str) -> PctLine {
    match scan(&words(text)).unwrap().1 {
        Line::Pct(line) => line,
        other => panic!("{text}: {other:?}"),
    }
}

fn shown(text: &str) -> String {
    let line = line(text);
    let options: Vec<String> = line
        .options
        .iter()
        .map(|(name, value)| match value {
            Given::Text(text) => format!("--{name}={text}"),
            other => format!("--{name}:{other:?}"),
        })
        .collect();
    format!("{} {:?} {} {:?}", line.verb, line.args, options.join(" "), line.rest)
}

#[test]
fn every_way_to_write_an_option_is_one() {
    let expected = r#"set ["101"] --memory=512 []"#;
    for text in [
        "set 101 --memory 512",
        "set 101 -memory 512",
        "set --memory=512 101",
        "set 101 -memory=512",
        "set --mem 512 101",
        "set 101 --MEMORY 512",
    ] {
        assert_eq!(shown(text), expected, "{text}");
    }
    assert_eq!(shown("set 101 --memory -5"), r#"set ["101"] --memory=-5 []"#);
    assert_eq!(shown("set 101 --net0 a=b --mp12 x"), r#"set ["101"] --net0=a=b --mp12=x []"#);
    assert_eq!(shown("set 101 --NET0 a"), r#"set ["101"] --net0=a []"#);
}

#[test]
fn switches_take_a_word_for_yes_or_no_and_nothing_else() {
    assert_eq!(shown("status --verbose 101"), r#"status ["101"] --verbose=1 []"#);
    assert_eq!(shown("status 101 -v"), r#"status ["101"] --verbose=1 []"#);
    assert_eq!(shown("set 101 --onboot 1 --debug No"), r#"set ["101"] --onboot=1 --debug=No []"#);
    assert_eq!(shown("set 101 --onboot --debug=maybe"), r#"set ["101"] --onboot=1 --debug=maybe []"#);
}

#[test]
fn verbs_may_be_cut() {
    assert_eq!(shown("stat 101"), r#"status ["101"]  []"#);
    assert_eq!(scan(&words("sett show")).unwrap().1, Line::Own("settings", words("show")));
    assert_eq!(scan(&words("sta 101")).unwrap_err().to_string(), "<command>: 'sta' can be start or status");
    assert_eq!(
        scan(&words("strat 101")).unwrap_err().to_string(),
        "<command>: there is no command 'strat'; did you mean 'start'?"
    );
}

#[test]
fn the_words_of_exec_are_its_own() {
    assert_eq!(shown("exec 101 -- ls -la"), r#"exec ["101"]  ["ls", "-la"]"#);
    assert_eq!(shown("exec 101 ls -la -o json"), r#"exec ["101"]  ["ls", "-la", "-o", "json"]"#);
    assert_eq!(shown("exec 101 --keep-env 0 ls"), r#"exec ["101"] --keep-env=0 ["ls"]"#);
    assert_eq!(shown("exec 101 ls --keep-env 0 -x"), r#"exec ["101"] --keep-env=0 ["ls", "-x"]"#);
    assert_eq!(shown("start 101 -- --new-option 1"), r#"start ["101"]  ["--new-option", "1"]"#);
}

#[test]
fn template_is_two_commands() {
    assert_eq!(shown("template 101"), r#"template ["101"]  []"#);
    assert_eq!(shown("template web1"), r#"template ["web1"]  []"#);
    assert_eq!(
        scan(&words("template build busybox")).unwrap().1,
        Line::Own("template", words("build busybox"))
    );
}

#[test]
fn global_options_stand_anywhere_and_give_way_to_the_verb() {
    let (globals, line) = scan(&words("-q --timeout 5 shutdown 101 --timeout 60 -ojson")).unwrap();
    assert_eq!(globals.timeout.map(pvect::settings::Seconds::get), Some(5.0));
    assert!(globals.quiet);
    assert_eq!(globals.output, Some(super::super::Form::Json));
    let Line::Pct(line) = line else { panic!("{line:?}") };
    assert_eq!(line.options, [("timeout".to_owned(), Given::Text("60".to_owned()))]);
    let (globals, _) = scan(&words("start 101 --timeout 2.5 --dry")).unwrap();
    assert_eq!(globals.timeout.map(pvect::settings::Seconds::get), Some(2.5));
    assert!(globals.dry_run);
    assert_eq!(scan(&words("start 101 -vv")).unwrap().0.verbose, 2);
}

#[test]
fn unknown_options_name_the_nearest() {
    let error = |text: &str| scan(&words(text)).unwrap_err().to_string();
    assert_eq!(
        error("set 101 --memroy 512"),
        "--memroy: pvect set has no such option; did you mean --memory?"
    );
    assert_eq!(error("list --zzzz"), "--zzzz: pvect list has no such option");
    assert_eq!(error("set 101 --net32 x"), "--net32: pvect set has --net0 to --net31");
    assert_eq!(
        error("set 101 --c 5"),
        "--c: can be --cmode or --console or --cores or --cpulimit or --cpuunits"
    );
    assert_eq!(error("set 101 --memory"), "--memory: needs a value");
    assert_eq!(error("--output xml list"), "--output: 'xml' is not one of: table, json, yaml, csv, plain");
}

#[test]
fn passwords_are_never_words() {
    for text in ["create 101 t --password secret", "create 101 t --password=secret"] {
        let error = scan(&words(text)).unwrap_err().to_string();
        assert_eq!(
            error,
            "--password: takes no value, because others could read it in the process list: put --password last \
             to be asked for it, or use --password-file FILE or --password-stdin"
        );
    }
    assert_eq!(line("create 101 t --password").options, [("password".to_owned(), Given::Ask)]);
    assert_eq!(line("create 101 t --password --start").options[0].1, Given::Ask);
    assert_eq!(line("create 101 t --password-stdin").options[0].1, Given::Stdin);
    assert_eq!(line("create 101 t --password-file p").options[0].1, Given::File("p".to_owned()));
}

#[test]
fn virtual_machines_are_refused() {
    let error = scan(&words("qm list")).unwrap_err();
    assert_eq!(error.kind().exit_status(), 9);
}

proptest::proptest! {
    #[test]
    fn any_words_are_read_or_refused(
        verb in "(set|exec|create|template|help|)",
        words in proptest::collection::vec("(-{0,2}[a-z0-9=]{0,6}|\\PC{0,4}|--|--net0|-o|-v|-q)", 0..6),
    ) {
        let mut all = vec![verb];
        all.extend(words);
        let _ = scan(&all);
    }
}
