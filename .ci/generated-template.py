"""What CloudFormation gets: template.yaml as SAM translates it, with the parameters of several stacks.

Validators read the source. But SAM rewrites it, and an intrinsic function in the wrong place makes SAM drop what stands beside it. So these
tests translate the template as a deployment does, put in the values of the parameters, and read the result. `.ci/check-template` runs them with
the Python of the SAM CLI, which brings the translator. No AWS account is needed.
"""

import logging
import re
import unittest
from pathlib import Path

import tomlkit
from samcli.yamlhelper import yaml_parse
from samtranslator.translator.transform import transform

ROOT = Path(__file__).resolve().parent.parent
SECRET = "arn:aws:secretsmanager:us-east-1:123456789012:secret:scrollback/database-url-AbCdEf"
STACK_ID = "arn:aws:cloudformation:us-east-1:123456789012:stack/scrollback/00000000-0000-0000-0000-000000000000"
NO_VALUE = object()
ISSUER = {"JwtIssuer": "https://issuer.example.com/", "JwtAudience": "api,other", "ServiceScope": "act:any"}
# The stacks that are translated: their parameters, beside the defaults.
STACKS = {
    "defaults": {},
    "console": {"Console": "true", "AllowedOrigins": "https://a.example.com,https://b.example.com"},
    "own issuer": {**ISSUER, "Console": "true", "ConsoleClientId": "abc", "BackEndClient": "false"},
    "everything": {
        **ISSUER,
        "DatabaseSecretArn": f"arn:aws:secretsmanager:us-east-1:123456789012:secret:{'n' * 42}-AbCdEf",
        "DatabaseSecretVersion": "v" * 64,
        "ServiceScope": "s" * 40,
        "UserRoles": "user,assistant,tool,system,developer",
        "KmsKeyArn": f"arn:aws:kms:us-east-1:123456789012:key/{'k' * 36}",
        "Tracing": "Active",
        "RetentionDays": "36500",
        "ReservedConcurrency": "45",
        "CanaryDeployment": "false",
        "AlarmTopicArn": "arn:aws:sns:us-east-1:123456789012:alarms",
    },
}
logging.disable(logging.WARNING)


class NoPolicies:
    """SAM's list of managed policies, which only policy templates need."""

    def load(self):
        return {}


class Stack:
    """The generated template of one stack, with intrinsic functions evaluated as CloudFormation does it.

    What only a deployment knows is a text: the attribute `Arn` of `Api` reads `Api.Arn`, a reference to it `Api`.
    """

    def __init__(self, given):
        source = yaml_parse((ROOT / "template.yaml").read_text())
        # `sam package` puts the address of the code here.
        source["Globals"]["Function"]["CodeUri"] = "s3://bucket/key"
        defaults = {name: parameter.get("Default") for name, parameter in source["Parameters"].items()}
        self.parameters = {**defaults, "DatabaseSecretArn": SECRET, **given}
        self.values = {**self.parameters, "AWS::StackId": STACK_ID, "AWS::NoValue": NO_VALUE}
        for name, value in self.parameters.items():
            pattern = source["Parameters"][name].get("AllowedPattern", "")
            assert re.search(pattern, str(value)), f"{name} does not allow {value}"
        generated = transform(source, dict(self.parameters), NoPolicies())
        self.conditions = generated["Conditions"]
        self.resources = {
            name: {key: self.value(part) for key, part in resource.items()}
            for name, resource in generated["Resources"].items()
            if "Condition" not in resource or self.condition(resource["Condition"])
        }

    def of(self, kind):
        return {name: resource for name, resource in self.resources.items() if resource["Type"] == kind}

    def properties(self, name):
        return self.resources[name]["Properties"]

    def condition(self, name):
        return self.value(self.conditions[name])

    def substitute(self, text, values):
        known = {**self.values, **values}
        return re.sub(r"\$\{([^}!]+)\}", lambda match: str(known.get(match[1], match[1])), text)

    def value(self, part):
        if isinstance(part, list):
            return [one for one in map(self.value, part) if one is not NO_VALUE]
        if not isinstance(part, dict):
            return part
        if len(part) == 1:
            ((function, operand),) = part.items()
            match function:
                case "Ref":
                    return self.values.get(operand, operand)
                case "Condition" if isinstance(operand, str):
                    return self.condition(operand)
                case "Fn::If":
                    return self.value(operand[1] if self.condition(operand[0]) else operand[2])
                case "Fn::Equals":
                    left, right = self.value(operand)
                    return str(left) == str(right)
                case "Fn::Not":
                    return not self.value(operand[0])
                case "Fn::And":
                    return all(self.value(operand))
                case "Fn::Or":
                    return any(self.value(operand))
                case "Fn::GetAtt":
                    return ".".join(operand) if isinstance(operand, list) else operand
                case "Fn::Split":
                    return self.value(operand[1]).split(operand[0])
                case "Fn::Join":
                    return operand[0].join(map(str, self.value(operand[1])))
                case "Fn::Select":
                    return self.value(operand[1])[int(operand[0])]
                case "Fn::Sub":
                    text, values = operand if isinstance(operand, list) else (operand, {})
                    return self.substitute(text, self.value(values))
                case _ if function.startswith("Fn::"):
                    raise AssertionError(f"{function} is not evaluated here")
        values = {key: self.value(value) for key, value in part.items()}
        return {key: value for key, value in values.items() if value is not NO_VALUE}


def constant(name):
    """A constant of the local HTTP API, which allows pages what the deployed one allows."""
    source = (ROOT / "tools/local/src/gateway.rs").read_text()
    return re.search(rf'const {name}: &str =\s+"([^"]*)";', source)[1]


class GeneratedTemplate:
    """What holds for each stack."""

    @classmethod
    def setUpClass(cls):
        cls.stack = Stack(STACKS[cls.name])

    def test_browsers_may_call_the_api(self):
        origins = {
            "defaults": ["http://localhost:3000"],
            "console": ["https://a.example.com", "https://b.example.com", "https://ConsoleDistribution.DomainName"],
            "own issuer": ["http://localhost:3000", "https://ConsoleDistribution.DomainName"],
            "everything": ["http://localhost:3000"],
        }
        name, stack = self.name, self.stack
        cors = stack.properties("Api")["Body"]["x-amazon-apigateway-cors"]
        self.assertEqual(cors["allowOrigins"], origins[name])
        self.assertEqual(",".join(sorted(cors["allowMethods"])), constant("ALLOW_METHODS"))
        self.assertEqual(",".join(sorted(cors["allowHeaders"])), constant("ALLOW_HEADERS"))
        self.assertEqual(",".join(sorted(cors["exposeHeaders"])), constant("EXPOSE_HEADERS"))
        self.assertEqual(str(cors["maxAge"]), constant("MAX_AGE"))
        self.assertEqual(len(cors), 5, cors)

    def test_every_route_asks_for_a_token_and_calls_its_functions_alias(self):
        routes = tomlkit.parse((ROOT / "Cargo.toml").read_text())["workspace"]["metadata"]["lambda"]["watch"]["router"]
        wanted = {(path, one["method"].lower()): one["function"] for path, all in routes.items() for one in all}
        stack = self.stack
        body = stack.properties("Api")["Body"]
        found = {}
        for path, methods in body["paths"].items():
            for method, operation in methods.items():
                self.assertEqual(operation["security"], [{"Jwt": []}], (path, method))
                integration = operation["x-amazon-apigateway-integration"]
                self.assertEqual((integration["type"], integration["payloadFormatVersion"]), ("aws_proxy", "2.0"))
                alias = re.search(r"functions/(\w+)/invocations$", integration["uri"])[1]
                function = stack.properties(alias)["FunctionName"]
                self.assertEqual(stack.properties(alias)["Name"], "live")
                found[path, method] = stack.resources[function]["Metadata"]["BuildProperties"]["Binary"]
        self.assertEqual(found, wanted)
        self.assertEqual(list(body["components"]["securitySchemes"]), ["Jwt"])

    def test_the_authorizer_knows_who_signs_and_for_whom(self):
        audiences = {
            "defaults": ("UserPool.ProviderURL", ["UserPoolClient", "ServiceClient"]),
            "console": ("UserPool.ProviderURL", ["UserPoolClient", "ServiceClient", "ConsoleClient"]),
            "own issuer": ("https://issuer.example.com/", ["api", "other"]),
            "everything": ("https://issuer.example.com/", ["api", "other"]),
        }
        name, stack = self.name, self.stack
        scheme = stack.properties("Api")["Body"]["components"]["securitySchemes"]["Jwt"]["x-amazon-apigateway-authorizer"]
        issuer, audience = audiences[name]
        self.assertEqual(scheme["jwtConfiguration"], {"issuer": issuer, "audience": audience})
        self.assertEqual((scheme["type"], scheme["identitySource"]), ("jwt", "$request.header.Authorization"))

    def test_the_api_alone_may_call_a_function_and_the_schedule_the_purge(self):
        stack = self.stack
        called = {}
        for permission in stack.of("AWS::Lambda::Permission").values():
            properties = permission["Properties"]
            self.assertEqual(properties["Action"], "lambda:InvokeFunction")
            self.assertIn("SourceArn", properties)
            called.setdefault(properties["Principal"], set()).add(properties["FunctionName"])
        aliases = set(stack.of("AWS::Lambda::Alias"))
        self.assertEqual(called["events.amazonaws.com"], {"PurgeExpiredAliaslive"})
        self.assertEqual(called["apigateway.amazonaws.com"], aliases - {"PurgeExpiredAliaslive"})
        self.assertEqual(len(called), 2)
        self.assertFalse(stack.of("AWS::Lambda::Url"))

    def test_throttles_and_access_logs_reach_the_stage(self):
        stack = self.stack
        (stage,) = (resource["Properties"] for resource in stack.of("AWS::ApiGatewayV2::Stage").values())
        self.assertEqual(stage["DefaultRouteSettings"], {"ThrottlingRateLimit": 100, "ThrottlingBurstLimit": 200})
        for route, settings in stage["RouteSettings"].items():
            method, path = route.split(" ")
            self.assertIn(method.lower(), stack.properties("Api")["Body"]["paths"][path])
            self.assertLessEqual(settings["ThrottlingRateLimit"], 100)
        self.assertLess(stage["RouteSettings"]["GET /users/{user_id}/search"]["ThrottlingRateLimit"], 100)
        self.assertEqual(stage["AccessLogSettings"]["DestinationArn"], "AccessLogs.Arn")
        self.assertIs(stack.properties("Api")["FailOnWarnings"], True)

    def test_every_function_gets_what_globals_say(self):
        name, stack = self.name, self.stack
        version = ":SecretString:::" + "v" * 64 if name == "everything" else ":SecretString"
        secret = stack.parameters["DatabaseSecretArn"]
        for function, resource in stack.of("AWS::Lambda::Function").items():
            properties = resource["Properties"]
            variables = properties["Environment"]["Variables"]
            self.assertEqual(variables["DATABASE_URL"], "{{resolve:secretsmanager:" + secret + version + "}}")
            self.assertEqual(variables["LOG_KEY"], "{{resolve:secretsmanager:LogKey:SecretString}}")
            self.assertEqual(variables["USER_ROLES"], stack.parameters["UserRoles"])
            own = {"own issuer": "act:any", "everything": "s" * 40}
            self.assertEqual(variables["SERVICE_SCOPE"], own.get(name, "scrollback/service"))
            self.assertEqual(len(variables), 6)
            self.assertEqual(properties["Architectures"], ["arm64"])
            self.assertEqual((properties["Runtime"], properties["MemorySize"]), ("provided.al2023", 512))
            self.assertEqual(properties["LoggingConfig"]["LogFormat"], "JSON")
            self.assertEqual(properties["LoggingConfig"]["LogGroup"], f"{function}Logs")
            full = name == "everything"
            self.assertEqual(properties.get("ReservedConcurrentExecutions"), "45" if full else None)
            self.assertEqual(properties.get("TracingConfig"), {"Mode": "Active"} if full else None)
            self.assertEqual(properties.get("KmsKeyArn"), stack.parameters["KmsKeyArn"] if full else None)

    def test_every_function_has_a_bounded_role_of_its_own(self):
        stack = self.stack
        roles = [resource["Properties"]["Role"] for resource in stack.of("AWS::Lambda::Function").values()]
        self.assertEqual(len(set(roles)), len(roles))
        for role in roles:
            role = stack.properties(role.removesuffix(".Arn"))
            self.assertEqual(role["PermissionsBoundary"], "FunctionBoundary")
            self.assertNotIn("Policies", role)
            for policy in role["ManagedPolicyArns"]:
                self.assertIn(policy.rsplit("/")[-1], ["AWSLambdaBasicExecutionRole", "AWSXrayWriteOnlyAccess"])

    def test_a_change_of_a_parameter_makes_a_version_with_a_description_that_lambda_takes(self):
        stack = self.stack
        versions = stack.of("AWS::Lambda::Version")
        self.assertEqual(len(versions), len(stack.of("AWS::Lambda::Function")))
        # Lambda publishes no version that equals the last: https://docs.aws.amazon.com/lambda/latest/api/API_PublishVersion.html
        for function in stack.of("AWS::Lambda::Function").values():
            self.assertEqual(function["Properties"]["Environment"]["Variables"]["CONFIGURATION"], "Configuration.Value")
        for version in versions.values():
            self.assertEqual(version["Properties"]["Description"], "Configuration.Value")
            self.assertEqual(version["DeletionPolicy"], "Delete")
        self.assertLessEqual(len(stack.properties("Configuration")["Value"]), 256)
        if self.name == "everything":
            self.assertGreater(len(stack.properties("Configuration")["Value"]), 240, "every parameter has its longest value")

    def test_a_secret_whose_name_is_too_long_is_refused_before_anything_is_made(self):
        with self.assertRaisesRegex(AssertionError, "DatabaseSecretArn does not allow"):
            Stack({"DatabaseSecretArn": f"arn:aws:secretsmanager:us-east-1:123456789012:secret:{'n' * 43}-AbCdEf"})

    def test_a_failed_first_deployment_leaves_nothing_and_a_deletion_leaves_the_users(self):
        stack = self.stack
        for name, resource in stack.resources.items():
            policy = resource.get("DeletionPolicy", "Delete")
            kept = name in ["UserPool", "ConsoleBucket"]
            self.assertEqual(policy, "RetainExceptOnCreate" if kept else "Delete", name)

    def test_releases_go_live_by_canaries_that_alarms_stop(self):
        name, stack = self.name, self.stack
        urgent = name == "everything"
        for alias in stack.of("AWS::Lambda::Alias").values():
            group = stack.properties(alias["UpdatePolicy"]["CodeDeployLambdaAliasUpdate"]["DeploymentGroupName"])
            kind = "AllAtOnce" if urgent else "Canary10Percent10Minutes"
            self.assertEqual(group["DeploymentConfigName"], f"CodeDeployDefault.Lambda{kind}")
            alarms = [alarm["Name"] for alarm in group["AlarmConfiguration"].get("Alarms", [])]
            self.assertEqual(alarms, [] if urgent else ["ReadsFailing", "WritesFailing", "TurnsFailing", "ResponsesFailing"])
            self.assertTrue(set(alarms) <= set(stack.of("AWS::CloudWatch::Alarm")))

    def test_a_schedule_runs_the_purge_and_does_not_repeat_it(self):
        stack = self.stack
        (rule,) = (resource["Properties"] for resource in stack.of("AWS::Events::Rule").values())
        self.assertEqual((rule["ScheduleExpression"], rule["Targets"][0]["Arn"]), ("rate(1 hour)", "PurgeExpiredAliaslive"))
        (invoke,) = (resource["Properties"] for resource in stack.of("AWS::Lambda::EventInvokeConfig").values())
        self.assertEqual((invoke["MaximumRetryAttempts"], invoke["Qualifier"]), (0, "live"))

    def test_the_console_is_made_only_where_it_is_wanted(self):
        name, stack = self.name, self.stack
        made = {one for one in stack.resources if one.startswith("Console")}
        expected = {"ConsoleBucket", "ConsoleBucketPolicy", "ConsoleAccess", "ConsoleHeaders", "ConsoleDistribution"}
        expected |= {"ConsoleClient"} if name == "console" else set()
        self.assertEqual(made, expected if stack.parameters["Console"] == "true" else set())

    def test_no_reference_leads_nowhere(self):
        stack = self.stack
        names = set(stack.resources) | set(stack.parameters)
        for name, resource in stack.resources.items():
            for found in re.findall(r"\$\{(\w+)", repr(resource["Properties"])):
                self.assertIn(found, names, f"{name} says ${{{found}}}")

    def test_the_stack_is_within_cloudformations_limits(self):
        # https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/cloudformation-limits.html
        stack = self.stack
        self.assertLess(len(stack.resources), 500)
        for function in stack.of("AWS::Lambda::Function").values():
            self.assertLessEqual(len(function["Properties"]["FunctionName"].replace("AWS::StackName", "s" * 37)), 64)


class Defaults(GeneratedTemplate, unittest.TestCase):
    name = "defaults"


class Console(GeneratedTemplate, unittest.TestCase):
    name = "console"


class OwnIssuer(GeneratedTemplate, unittest.TestCase):
    name = "own issuer"


class Everything(GeneratedTemplate, unittest.TestCase):
    name = "everything"


if __name__ == "__main__":
    unittest.main()
