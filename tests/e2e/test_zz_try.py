import time
import pytest
from tests.e2e.test_s3_store import *
from tests.e2e.test_s3_store import objects, configure

def say(user, *args):
    began = time.time()
    a = user(*args, code=None)
    print(f"\n$ {args} -> {a.code} in {time.time()-began:.1f}s\n{a.text}{a.err}")

@pytest.mark.parametrize("case", ["nobucket", "reader", "wrongkey", "wrongsecret", "expired", "noprofile", "nocreds", "down", "badname"])
def test_try(user, weed, bucket, road, case):
    user.workflows(HI)
    configure_case(user, weed, bucket, road, case)
    print("=====", case)
    say(user, "run", "hi")
    say(user, "config", "check")
    say(user, "ps", "-a")

def configure_case(user, weed, bucket, road, case):
    if case == "nobucket": configure(user, f"s3://{bucket}-nowhere", road.url)
    if case == "reader": aws.log_in(user, READER_KEY, READER_SECRET)
    if case == "wrongkey": aws.log_in(user, "AKIAWRONG", SECRET)
    if case == "wrongsecret": aws.log_in(user, KEY, "nonsense")
    if case == "expired":
        aws.log_in(user); p = user.home.parent/"person/.aws/credentials"; p.write_text(p.read_text()+"aws_session_token = old\n")
    if case == "noprofile":
        c = json.loads((user.home/"config.yaml").read_text()); c["projects"]["main"]["settings"]["aws"]["profile"]="nobody"; (user.home/"config.yaml").write_text(json.dumps(c))
    if case == "nocreds": (user.home.parent/"person/.aws/credentials").unlink()
    if case == "down": road.cut()
    if case == "badname": configure(user, "s3://Bad_Name", road.url)
