//! `template.yaml` deploys what the emulator serves; none of it is open, silent or forgotten by an alarm.
//!
//! These tests read the source. `.ci/generated-template.py` reads what SAM makes of it.

use std::collections::{BTreeMap, BTreeSet};

use local::gateway;
use local::project::SCHEDULED;
use serde_json::{Value, json};
use shared::auth::Roles;

use crate::support::{App, ROUTES, folders_of_functions, project};

/// The template. Its short tags (`!Ref` and others) say how a value is found, which is of no interest here: `!Ref Api` reads as `Api`.
fn template() -> Value {
    serde_saphyr::from_str(&std::fs::read_to_string(project().join("template.yaml")).unwrap()).unwrap()
}

/// The resources of one type, by their logical ids.
fn resources(kind: &str) -> BTreeMap<String, Value> {
    let template = template();
    let resources = template["Resources"].as_object().unwrap().iter();
    let wanted = resources.filter(|(_, resource)| resource["Type"] == kind);
    wanted.map(|(id, resource)| (id.clone(), resource.clone())).collect()
}

fn functions() -> BTreeMap<String, Value> {
    resources("AWS::Serverless::Function")
}

/// The functions that the API calls.
fn routed() -> BTreeMap<String, Value> {
    functions().into_iter().filter(|(_, function)| !SCHEDULED.contains(&&*binary(function))).collect()
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_else(|| panic!("no text: {value:?}")).to_owned()
}

fn binary(function: &Value) -> String {
    assert_eq!(function["Metadata"]["BuildMethod"], "rust-cargolambda");
    text(&function["Metadata"]["BuildProperties"]["Binary"])
}

#[test]
fn the_template_and_the_emulator_have_the_same_routes() {
    let mut deployed: BTreeMap<String, BTreeMap<String, String>> = BTreeMap::new();
    for (id, function) in routed() {
        let events = function["Properties"]["Events"].as_object().unwrap_or_else(|| panic!("{id} has no route"));
        for event in events.values() {
            assert_eq!(event["Type"], "HttpApi", "{id}");
            let (path, method) = (text(&event["Properties"]["Path"]), text(&event["Properties"]["Method"]));
            let before = deployed.entry(path).or_default().insert(method, binary(&function));
            assert_eq!(before, None, "{id} has another function's route");
        }
    }
    assert_eq!(&deployed, &*ROUTES, "template.yaml and the emulator's routes in Cargo.toml");
}

/// The response headers that a page of another origin may read anyway: <https://fetch.spec.whatwg.org/#cors-safelisted-response-header-name>
const SAFELISTED: [&str; 7] =
    ["cache-control", "content-language", "content-length", "content-type", "expires", "last-modified", "pragma"];

#[test]
fn a_page_of_another_origin_may_read_the_headers_that_the_client_reads() {
    let exposed: Vec<_> = gateway::EXPOSE_HEADERS.split(',').chain(SAFELISTED).collect();
    let mut read = 0;
    for file in std::fs::read_dir(project().join("clients/typescript/src")).unwrap() {
        let source = std::fs::read_to_string(file.unwrap().path()).unwrap();
        for rest in source.split("headers.get(\"").skip(1) {
            let name = rest.split('"').next().unwrap();
            assert!(exposed.contains(&name), "the client reads {name}, which is not exposed");
            read += 1;
        }
    }
    assert!(read > 0, "the client reads no header by headers.get(\"…\")");
}

#[test]
fn every_route_is_behind_the_authorizer() {
    let apis = resources("AWS::Serverless::HttpApi");
    assert_eq!(apis.keys().collect::<Vec<_>>(), ["Api"]);
    let auth = &apis["Api"]["Properties"]["Auth"];
    let jwt = &auth["Authorizers"][text(&auth["DefaultAuthorizer"])]["JwtConfiguration"];
    assert!(!jwt["issuer"].is_null() && !jwt["audience"].is_null(), "the default authorizer checks no JWT: {auth:?}");

    for (id, function) in routed() {
        for event in function["Properties"]["Events"].as_object().unwrap().values() {
            assert_eq!(event["Properties"]["ApiId"], "Api", "{id} is called by another API");
            assert!(event["Properties"]["Auth"].is_null(), "{id} has an authorization of its own");
        }
    }

    // Nor is there another way in.
    assert!(apis["Api"]["Properties"]["DefinitionBody"].is_null() && apis["Api"]["Properties"]["DefinitionUri"].is_null());
    assert!(template()["Globals"]["HttpApi"].is_null());
    let everything = std::fs::read_to_string(project().join("template.yaml")).unwrap();
    for way in ["FunctionUrlConfig", "AWS::Lambda::Url", "AWS::Lambda::Permission", "AWS::ApiGatewayV2", "AWS::Serverless::Api"] {
        assert!(!everything.contains(way), "{way}: does the authorizer stand before it?");
    }
}

#[test]
fn a_schedule_alone_runs_what_has_no_route() {
    for (id, function) in functions().into_iter().filter(|(_, function)| SCHEDULED.contains(&&*binary(function))) {
        let events = function["Properties"]["Events"].as_object().unwrap_or_else(|| panic!("nothing runs {id}"));
        for event in events.values() {
            assert_eq!(
                (event["Type"].as_str(), event["Properties"]["Schedule"].as_str()),
                (Some("Schedule"), Some("rate(1 hour)"))
            );
        }
        // The next run goes on where a failed one has stopped.
        assert_eq!(function["Properties"]["EventInvokeConfig"]["MaximumRetryAttempts"], 0, "{id}");
    }
}

#[tokio::test]
async fn an_alarm_counts_the_purges_that_are_done() {
    let app = App::start().await;
    app.function("purge-expired").invoke("{}".to_owned()).await.unwrap();
    let log = app.function("purge-expired").log();
    let line: Value = serde_json::from_str(log.lines().next_back().unwrap()).unwrap();
    let filters = resources("AWS::Logs::MetricFilter");
    let filter = &filters["Purges"]["Properties"];
    assert_eq!(filter["LogGroupName"], "PurgeExpiredLogs");
    assert_eq!(filter["FilterPattern"], "{ $.message = \"purge\" && $.purge.done IS TRUE }");
    assert_eq!((&line["message"], &line["purge"]["done"]), (&"purge".into(), &true.into()), "{line}");
    let alarm = &resources("AWS::CloudWatch::Alarm")["PurgeOverdue"]["Properties"];
    assert_eq!(alarm["MetricName"], filter["MetricTransformations"][0]["MetricName"]);
    assert_eq!((&alarm["ComparisonOperator"], &alarm["TreatMissingData"]), (&"LessThanThreshold".into(), &"breaching".into()));
}

#[test]
fn every_function_knows_how_long_conversations_are_kept() {
    let template = template();
    assert_eq!(template["Globals"]["Function"]["Environment"]["Variables"]["RETENTION_DAYS"], "RetentionDays");
    let parameter = &template["Parameters"]["RetentionDays"];
    assert_eq!((&parameter["Default"], &parameter["MinValue"], &parameter["MaxValue"]), (&0.into(), &0.into(), &36_500.into()));
}

#[test]
fn no_function_is_told_to_do_without_identity() {
    let everything = std::fs::read_to_string(project().join("template.yaml")).unwrap();
    assert!(!everything.contains("AUTH_MODE"));
}

#[test]
fn every_folder_in_functions_is_deployed_under_its_name() {
    assert_eq!(functions().values().map(binary).collect::<BTreeSet<_>>(), folders_of_functions());
    for (id, function) in functions() {
        assert_eq!(text(&function["Properties"]["FunctionName"]), format!("${{AWS::StackName}}-{}", binary(&function)), "{id}");
    }
}

#[test]
fn every_function_logs_to_a_group_of_its_own_that_is_kept_for_a_stated_time() {
    let groups = resources("AWS::Logs::LogGroup");
    let mut taken = BTreeSet::new();
    for (id, function) in functions() {
        let group = text(&function["Properties"]["LoggingConfig"]["LogGroup"]);
        let properties = &groups.get(&group).unwrap_or_else(|| panic!("{id} logs to {group}, which is no resource"))["Properties"];
        assert!(!properties["RetentionInDays"].is_null(), "{group} is kept for ever");
        // The functions may write under this prefix and nowhere else.
        assert_eq!(text(&properties["LogGroupName"]), format!("/aws/lambda/${{AWS::StackName}}-{}", binary(&function)), "{id}");
        assert!(taken.insert(group), "{id} shares its log group");
    }
}

#[test]
fn every_function_is_watched_for_errors_and_for_throttles() {
    for metric in ["Errors", "Throttles"] {
        let mut watched = BTreeSet::new();
        for (id, alarm) in resources("AWS::CloudWatch::Alarm") {
            let metrics = alarm["Properties"]["Metrics"].as_array().map(Vec::as_slice).unwrap_or_default();
            let measured: Vec<&Value> =
                metrics.iter().map(|query| &query["MetricStat"]["Metric"]).filter(|m| !m.is_null()).collect();
            assert!(measured.len() <= 10, "{id} has more metrics than CloudWatch allows");
            for measured in measured.into_iter().filter(|measured| measured["MetricName"] == metric) {
                let function = text(&measured["Dimensions"][0]["Value"]);
                assert!(watched.insert(function.clone()), "{function} is watched twice for {metric}");
            }
        }
        assert_eq!(watched, functions().into_keys().collect(), "{metric}");
    }
}

#[test]
fn the_price_of_the_alarms_counts_each_of_their_metrics() {
    let of_one = |alarm: &Value| match alarm["Properties"]["Metrics"].as_array() {
        Some(metrics) => metrics.iter().filter(|metric| !metric["MetricStat"].is_null()).count(),
        None => 1,
    };
    let metrics: usize = resources("AWS::CloudWatch::Alarm").values().map(of_one).sum();
    let guide = std::fs::read_to_string(project().join("docs/deploy.md")).unwrap();
    assert!(guide.contains(&format!("alarms' {metrics} metrics")), "docs/deploy.md does not count {metrics} metrics of alarms");
}

/// What a query of Logs Insights wants a log line to have: members by their names, and text that it looks for as it stands.
fn asked_for(query: &str) -> (BTreeSet<String>, Vec<&str>) {
    let (code, texts): (Vec<_>, Vec<_>) = query.split('\'').enumerate().partition(|(index, _)| index % 2 == 0);
    let code: String = code.into_iter().map(|(_, part)| part).collect::<Vec<_>>().join(" ");
    let unquoted: String = code.split('"').step_by(2).collect::<Vec<_>>().join(" ");
    let spaced = unquoted.replace('(', " ( ").replace(['|', ',', ')', '=', '[', ']'], " , ");
    let words: Vec<&str> = spaced.split_whitespace().collect();
    let given: BTreeSet<&str> = words.windows(2).filter(|pair| pair[0] == "as").map(|pair| pair[1]).collect();
    let language = ["and", "as", "by", "desc", "fields", "filter", "in", "or", "sort", "stats"];
    let name = |word: &&str| word.starts_with(|first: char| first.is_ascii_lowercase());
    let called = |index: usize| words.get(index + 1) == Some(&"(") && !language.contains(&words[index]);
    let asked = words.iter().enumerate().filter(|(index, word)| name(word) && !called(*index)).map(|(_, word)| *word);
    let fields = asked.filter(|word| !given.contains(word) && !language.contains(word)).map(str::to_owned).collect();
    (fields, texts.into_iter().map(|(_, part)| part).collect())
}

#[tokio::test]
async fn what_the_saved_queries_ask_for_is_in_the_log() {
    let app = App::start().await;
    let conversations = app.get("/users/ada/conversations");
    conversations.clone().expect(200).await;
    app.superuser().await.batch_execute("alter table conversations rename to gone").await.unwrap();
    conversations.expect(500).await;
    let log = app.function("get-user-conversations").log();
    let lines: Vec<Value> = log.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let format = &resources("AWS::Serverless::HttpApi")["Api"]["Properties"]["AccessLogSettings"]["Format"];
    let access_log: Value = serde_json::from_str(&text(format)).unwrap();
    let mut found = 0;
    for (id, query) in resources("AWS::Logs::QueryDefinition") {
        let lines =
            if query["Properties"]["LogGroupNames"][0] == "AccessLogs" { std::slice::from_ref(&access_log) } else { &lines };
        let query = text(&query["Properties"]["QueryString"]);
        let (fields, texts) = asked_for(&query);
        // Lines of Lambda's own are as Lambda writes them.
        for field in fields.iter().filter(|_| !query.contains("platform.")) {
            let pointer = format!("/{}", field.replace('.', "/"));
            assert!(
                lines.iter().any(|line| line.pointer(&pointer).is_some_and(|value| !value.is_object())),
                "{id}: {field}: {lines:?}"
            );
            found += 1;
        }
        for text in texts {
            assert!(log.contains(text), "{id}: {text}: {log}");
        }
    }
    assert!(found >= 12, "{found}");
}

#[test]
fn every_saved_query_asks_every_function() {
    let groups: BTreeSet<String> = functions().keys().map(|id| format!("{id}Logs")).collect();
    for (id, query) in resources("AWS::Logs::QueryDefinition") {
        let asked = query["Properties"]["LogGroupNames"].as_array().unwrap();
        if *asked == ["AccessLogs"] {
            continue;
        }
        assert_eq!(asked.iter().map(text).collect::<BTreeSet<_>>(), groups, "{id}");
    }
}

/// A function of `Rules`, with these values of the parameters.
fn evaluate(rule: &Value, parameters: &BTreeMap<&str, &str>) -> bool {
    let value = |operand: &Value| match operand {
        Value::String(literal) => literal.clone(),
        reference => parameters.get(&*text(&reference["Ref"])).unwrap_or_else(|| panic!("{reference}")).to_string(),
    };
    let [(function, operands)] = &rule.as_object().unwrap().iter().collect::<Vec<_>>()[..] else { panic!("{rule}") };
    let operands = operands.as_array().unwrap();
    let count = operands.len();
    match function.as_str() {
        "Fn::Equals" if count == 2 => value(&operands[0]) == value(&operands[1]),
        "Fn::Contains" if count == 2 => operands[0].as_array().unwrap().iter().any(|one| *one == value(&operands[1]).as_str()),
        "Fn::Not" if count == 1 => !evaluate(&operands[0], parameters),
        "Fn::And" if (2..=10).contains(&count) => operands.iter().all(|operand| evaluate(operand, parameters)),
        "Fn::Or" if (2..=10).contains(&count) => operands.iter().any(|operand| evaluate(operand, parameters)),
        _ => panic!("no function of a rule: {rule}"),
    }
}

/// The rules that refuse a stack with these parameters, and the defaults of the others.
fn refused_by(given: &[(&str, &str)]) -> Vec<String> {
    let template = template();
    let defaults = template["Parameters"].as_object().unwrap().iter();
    let mut parameters: BTreeMap<&str, &str> =
        defaults.filter_map(|(name, parameter)| Some((name.as_str(), parameter["Default"].as_str()?))).collect();
    parameters.extend(given.iter().copied());
    let broken = |rule: &Value| {
        let applies = rule["RuleCondition"].is_null() || evaluate(&rule["RuleCondition"], &parameters);
        applies && !rule["Assertions"].as_array().unwrap().iter().all(|one| evaluate(&one["Assert"], &parameters))
    };
    template["Rules"].as_object().unwrap().iter().filter(|(_, rule)| broken(rule)).map(|(name, _)| name.clone()).collect()
}

#[test]
fn wrong_combinations_of_parameters_are_refused() {
    let (issuer, audience) = (("JwtIssuer", "https://issuer.example.com/"), ("JwtAudience", "api"));
    let (scope, none) = (("ServiceScope", "act:any"), ("BackEndClient", "false"));
    let replies = ("UserRoles", "user,assistant");
    for right in [
        vec![],
        vec![("UserRoles", "none")],
        vec![none, replies],
        vec![issuer, audience, scope],
        vec![issuer, audience, scope, none],
        vec![issuer, audience, scope, ("UserRoles", "none")],
        vec![issuer, audience, replies],
        vec![issuer, audience, ("UserRoles", "user,assistant,tool,system,developer")],
    ] {
        assert_eq!(refused_by(&right), Vec::<String>::new(), "{right:?}");
    }
    for (rule, wrong) in [
        ("AudienceGoesWithIssuer", vec![issuer, scope]),
        ("IssuerGoesWithAudience", vec![audience]),
        // The stack's own user pool never has such a scope.
        ("IssuerGoesWithScope", vec![scope]),
        ("IssuerGoesWithScope", vec![("ServiceScope", "scrollback/service")]),
        ("ScopeIsNotEverybodys", vec![issuer, audience, ("ServiceScope", "openid")]),
        ("ScopeIsNotEverybodys", vec![issuer, audience, ("ServiceScope", "aws.cognito.signin.user.admin")]),
        ("SomebodyWritesReplies", vec![none]),
        ("SomebodyWritesReplies", vec![none, ("UserRoles", "user,tool")]),
        ("SomebodyWritesReplies", vec![issuer, audience]),
        ("SomebodyWritesReplies", vec![issuer, audience, ("UserRoles", "none")]),
    ] {
        assert_eq!(refused_by(&wrong), [rule], "{wrong:?}");
    }
}

#[test]
fn a_console_that_could_not_sign_in_is_refused() {
    let (issuer, audience, scope) =
        (("JwtIssuer", "https://issuer.example.com/"), ("JwtAudience", "api"), ("ServiceScope", "act:any"));
    let (console, client) = (("Console", "true"), ("ConsoleClientId", "abc"));
    for right in [vec![console], vec![console, issuer, audience, scope, client]] {
        assert_eq!(refused_by(&right), Vec::<String>::new(), "{right:?}");
    }
    for (rule, wrong) in [
        ("ConsoleHasAClient", vec![console, issuer, audience, scope]),
        ("ClientGoesWithConsole", vec![client]),
        ("ClientGoesWithConsole", vec![client, console]),
        ("ClientGoesWithConsole", vec![client, issuer, audience, scope]),
    ] {
        assert_eq!(refused_by(&wrong), [rule], "{wrong:?}");
    }
}

#[test]
fn the_console_is_off_unless_somebody_turns_it_on() {
    let template = template();
    assert_eq!(template["Parameters"]["Console"]["Default"], "false");
    assert_eq!(template["Conditions"]["HasConsole"], json!(["Console", "true"]));
    assert_eq!(template["Conditions"]["OwnConsoleClient"], json!(["HasConsole", "OwnUserPool"]));
    let resources = template["Resources"].as_object().unwrap().iter();
    let console = resources.filter(|(id, resource)| {
        let kind = text(&resource["Type"]);
        id.starts_with("Console") || kind.starts_with("AWS::CloudFront") || kind.starts_with("AWS::S3")
    });
    let conditions: BTreeMap<&String, &Value> = console.map(|(id, resource)| (id, &resource["Condition"])).collect();
    assert_eq!(conditions.len(), 6, "{conditions:?}");
    for (id, condition) in conditions {
        assert_eq!(condition, if id == "ConsoleClient" { "OwnConsoleClient" } else { "HasConsole" }, "{id}");
    }
}

#[test]
fn the_consoles_bucket_is_open_to_its_distribution_alone() {
    let bucket = &resources("AWS::S3::Bucket")["ConsoleBucket"];
    let blocked: BTreeMap<String, bool> =
        serde_json::from_value(bucket["Properties"]["PublicAccessBlockConfiguration"].clone()).unwrap();
    assert!(blocked.len() == 4 && blocked.values().all(|blocked| *blocked), "{blocked:?}");
    assert!(!bucket["Properties"]["BucketEncryption"].is_null() && bucket["Properties"]["WebsiteConfiguration"].is_null());
    let policies = resources("AWS::S3::BucketPolicy");
    let statements = policies["ConsoleBucketPolicy"]["Properties"]["PolicyDocument"]["Statement"].as_array().unwrap();
    let allowed: Vec<&Value> = statements.iter().filter(|statement| statement["Effect"] == "Allow").collect();
    let [allowed] = allowed[..] else { panic!("{allowed:?}") };
    assert_eq!(allowed["Principal"], json!({"Service": "cloudfront.amazonaws.com"}));
    assert_eq!(allowed["Action"], "s3:GetObject");
    let source = "arn:${AWS::Partition}:cloudfront::${AWS::AccountId}:distribution/${ConsoleDistribution}";
    assert_eq!(allowed["Condition"], json!({"StringEquals": {"AWS:SourceArn": source}}));
    assert!(statements.iter().any(|statement| statement["Effect"] == "Deny"
        && statement["Principal"] == "*"
        && statement["Condition"] == json!({"Bool": {"aws:SecureTransport": false}})));
    let distribution = &resources("AWS::CloudFront::Distribution")["ConsoleDistribution"]["Properties"]["DistributionConfig"];
    assert_eq!(distribution["DefaultCacheBehavior"]["ViewerProtocolPolicy"], "redirect-to-https");
    assert_eq!(distribution["Origins"][0]["OriginAccessControlId"], "ConsoleAccess");
}

#[test]
fn the_consoles_policy_allows_requests_to_the_api_and_the_issuer_and_nothing_inline() {
    let headers = &resources("AWS::CloudFront::ResponseHeadersPolicy")["ConsoleHeaders"]["Properties"];
    let security = &headers["ResponseHeadersPolicyConfig"]["SecurityHeadersConfig"];
    let policy = text(&security["ContentSecurityPolicy"]["ContentSecurityPolicy"][0]);
    let added = " https://*.execute-api.${AWS::Region}.${AWS::URLSuffix} ${Issuer}";
    // console/tests/deployed.test.ts compares the rest with the policy of `cargo dev`.
    assert!(policy.contains(&format!("connect-src 'self'{added};")) && policy.starts_with("default-src 'none';"), "{policy}");
    assert!(!policy.contains("unsafe"), "{policy}");
    for header in ["ContentTypeOptions", "FrameOptions", "ReferrerPolicy", "StrictTransportSecurity"] {
        assert_eq!(security[header]["Override"], true, "{header}");
    }
}

#[test]
fn the_consoles_client_is_public_and_cannot_act_for_others() {
    let client = &resources("AWS::Cognito::UserPoolClient")["ConsoleClient"]["Properties"];
    assert_eq!(client["GenerateSecret"], false);
    assert_eq!(client["AllowedOAuthFlows"], json!(["code"]));
    // Cognito would grant scrollback/service to every user.
    assert_eq!(client["AllowedOAuthScopes"], json!(["openid"]));
    assert_eq!(client["CallbackURLs"], json!(["https://${ConsoleDistribution.DomainName}/"]));
    // API Gateway takes its tokens.
    let auth = &resources("AWS::Serverless::HttpApi")["Api"]["Properties"]["Auth"]["Authorizers"]["Jwt"];
    let own = &auth["JwtConfiguration"]["audience"][1];
    assert!(own.as_array().unwrap().contains(&json!(["OwnConsoleClient", "ConsoleClient", "AWS::NoValue"])), "{own}");
}

#[test]
fn every_choice_of_roles_can_be_read_and_those_without_the_assistant_need_a_back_end() {
    let parameter = &template()["Parameters"]["UserRoles"];
    let others = ["assistant", "tool", "system", "developer"];
    let pattern = others.map(|role| format!("(,{role})?")).concat();
    assert_eq!(text(&parameter["AllowedPattern"]), format!("^(none|user{pattern})$"));
    let chosen = |choice: u32| others.iter().enumerate().filter(move |(index, _)| choice >> index & 1 == 1);
    let choices = (0..1 << others.len()).map(|choice| chosen(choice).fold("user".to_owned(), |all, (_, role)| all + "," + role));
    for roles in choices.chain(["none".to_owned()]) {
        assert!(Roles::parse(&roles).is_ok(), "{roles}");
        let refused = refused_by(&[("UserRoles", &roles), ("BackEndClient", "false")]);
        assert_eq!(refused.is_empty(), roles.contains("assistant"), "{roles}: {refused:?}");
    }
    assert_eq!(text(&parameter["Default"]), "user");
}

/// The text of a part of the template, from a line to the next one that is indented as little.
fn part(heading: &str) -> String {
    let everything = std::fs::read_to_string(project().join("template.yaml")).unwrap();
    let indent = |line: &str| line.len() - line.trim_start().len();
    let mut lines = everything.lines().skip_while(|line| *line != heading);
    let first = lines.next().unwrap_or_else(|| panic!("no line {heading}"));
    let rest = lines.take_while(|line| line.is_empty() || indent(line) > indent(first));
    rest.filter(|line| !line.trim_start().starts_with('#')).collect::<Vec<_>>().join("\n")
}

/// The parameters that a text depends on, by itself or through conditions.
fn parameters_of(part: &str) -> BTreeSet<String> {
    let template = template();
    let words: BTreeSet<&str> = part.split(|character: char| !character.is_ascii_alphanumeric()).collect();
    let named = |section: &str| {
        let names = template[section].as_object().unwrap().keys();
        names.filter(|name| words.contains(name.as_str())).cloned().collect::<BTreeSet<_>>()
    };
    let mut found = named("Parameters");
    for condition in named("Conditions") {
        found.extend(parameters_of(&template["Conditions"][condition].to_string()));
    }
    found
}

#[test]
fn every_change_of_the_functions_makes_a_version_that_callers_get() {
    let globals = &template()["Globals"]["Function"];
    assert_eq!(globals["AutoPublishAlias"], "live");
    for (id, function) in functions() {
        assert_eq!(
            function["Properties"]["AutoPublishAliasAllProperties"], true,
            "{id}: a change of the template would reach nobody"
        );
        let description = &function["Properties"]["VersionDescription"];
        assert_eq!(description, "Configuration.Value", "{id}: a change of a parameter would reach nobody");
    }
    let mut needed = parameters_of(&part("  Function:"));
    // These two are no part of a version.
    needed.remove("ReservedConcurrency");
    needed.remove("CanaryDeployment");
    assert!(needed.len() >= 9, "{needed:?}");
    let known = parameters_of(&part("  Configuration:"));
    assert_eq!(needed.difference(&known).collect::<Vec<_>>(), Vec::<&String>::new(), "a new value of these would reach nobody");
}

#[test]
fn a_canary_deployment_is_taken_back_by_alarms_that_do_not_wait_for_it() {
    let preference = &template()["Globals"]["Function"]["DeploymentPreference"];
    assert_eq!(preference["Type"], json!(["IsCanary", "Canary10Percent10Minutes", "AllAtOnce"]));
    let alarms = preference["Alarms"][1].as_array().unwrap();
    let known = resources("AWS::CloudWatch::Alarm");
    for alarm in ["ReadsFailing", "WritesFailing", "TurnsFailing", "ResponsesFailing"] {
        assert!(alarms.contains(&json!(alarm)), "{alarm}");
        let alarm = &known[alarm]["Properties"];
        // The API's id is known when every alias is deployed, which waits for the alarms.
        assert!(!alarm["Metrics"].to_string().contains(r#""Api""#) && !alarm["Dimensions"].to_string().contains("Api"), "{alarm}");
        let minutes =
            alarm["EvaluationPeriods"].as_u64().unwrap() * alarm["Metrics"][1]["MetricStat"]["Period"].as_u64().unwrap_or(60) / 60;
        assert!(minutes <= 5, "{alarm} may see a failure only when the ten minutes are over");
    }
    assert_eq!(alarms.len(), 4);
    let filter = &resources("AWS::Logs::MetricFilter")["FailedResponses"]["Properties"];
    assert_eq!(filter["MetricTransformations"][0]["MetricName"], known["ResponsesFailing"]["Properties"]["MetricName"]);
}

#[test]
fn routes_that_read_or_delete_much_or_wait_have_a_throttle_of_their_own() {
    let settings = &resources("AWS::Serverless::HttpApi")["Api"]["Properties"]["RouteSettings"];
    let settings: BTreeMap<String, Value> = serde_json::from_value(settings.clone()).unwrap();
    let own = [("search-messages", "Costly"), ("export-user", "Costly"), ("erase-user", "Costly"), ("get-message", "Wait")];
    let methods = ROUTES.iter().flat_map(|(path, methods)| methods.iter().map(move |(method, function)| (path, method, function)));
    let expected: BTreeMap<String, Value> = methods
        .filter_map(|(path, method, function)| {
            let (_, kind) = own.iter().find(|(name, _)| name == function)?;
            let limits = json!({
                "ThrottlingRateLimit": format!("{kind}ThrottlingRate"), "ThrottlingBurstLimit": format!("{kind}ThrottlingBurst"),
            });
            Some((format!("{method} {path}"), limits))
        })
        .collect();
    assert_eq!(settings, expected);
    let default = |name: &str| template()["Parameters"][name]["Default"].as_u64().unwrap();
    assert!(default("CostlyThrottlingRate") < default("ThrottlingRate"));
    assert!(default("CostlyThrottlingBurst") < default("ThrottlingBurst"));
}

#[test]
fn a_wait_ends_before_its_function_does_and_the_function_before_api_gateway() {
    let function = &resources("AWS::Serverless::Function")["GetMessage"]["Properties"];
    let longest = local::runtime_api::TIMEOUT.as_secs();
    assert_eq!(function["Timeout"].as_u64(), Some(longest));
    assert!(longest > 20 + 1 && longest < 30, "a wait has 20 s, and API Gateway 30");
}

#[test]
fn the_environment_has_a_key_of_its_own_where_one_is_given_and_traces_are_off() {
    let template = template();
    let globals = &template["Globals"]["Function"];
    assert_eq!((&globals["KmsKeyArn"][1], &template["Parameters"]["KmsKeyArn"]["Default"]), (&json!("KmsKeyArn"), &json!("")));
    assert_eq!((&globals["Tracing"], &template["Parameters"]["Tracing"]["Default"]), (&json!("Tracing"), &json!("Disabled")));
    let variables: Vec<&String> = globals["Environment"]["Variables"].as_object().unwrap().keys().collect();
    assert_eq!(variables, ["CONFIGURATION", "DATABASE_URL", "LOG_KEY", "RETENTION_DAYS", "SERVICE_SCOPE", "USER_ROLES"]);
    for (id, function) in functions() {
        for property in ["Environment", "KmsKeyArn", "Tracing", "AutoPublishAlias", "DeploymentPreference"] {
            assert!(function["Properties"][property].is_null(), "{id} has a {property} of its own");
        }
    }
}
