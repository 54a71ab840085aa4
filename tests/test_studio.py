"""The studio's page in a browser, used as people use it."""

import io
import os
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from motions import standing
from PIL import Image
from playwright.sync_api import expect
from studio_server import Puppets, puppets, serving

from duomotion.body.constraints import HAND_REACH, HANDS, REACH, Contact
from duomotion.formats import bvh
from duomotion.formats.drawing import TOUCH_DISTANCE
from duomotion.motion.interaction import Interaction
from duomotion.motion.kinematics import palms
from duomotion.motion.skeleton import SMPL22

ARM = ("wrist", "elbow")
PROMPT = "What do they do?"
# Milliseconds; a machine that is busy draws a frame in seconds.
PATIENCE = 60_000
expect.set_options(timeout=PATIENCE)
# Chromium's own words where a server gives no answer, or an error, which the page then explains.
EXPLAINED = "Failed to load resource"


class Solo(Puppets):
    """One person, and nothing beyond text to motion."""

    people = 1

    def card(self, name):
        return super().card(name) | {"features": {}, "people": 1, "kinds": []}

    def generate(self, body):
        return [motion.person(0) for motion in super().generate(body)]


@pytest.fixture(scope="module")
def server():
    with serving({"puppets": Puppets(), "others": Puppets(), "solo": Solo()}) as server:
        yield server


@pytest.fixture
def open_page(browser, server):
    """Opens the studio; checks in the end that nothing was complained about or loaded elsewhere."""
    contexts, complaints, addresses = [], [], []
    server.asked.clear()

    def opened(address: str = "", **settings):
        settings = {
            "viewport": {"width": 960, "height": 640},
            "reduced_motion": "reduce",
        } | settings
        context = browser.new_context(accept_downloads=True, **settings)
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(PATIENCE)
        page.on("console", lambda m: m.type in ("error", "warning") and complaints.append(m.text))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("request", lambda request: addresses.append(request.url))
        page.goto(address or server.url)
        page.get_by_role("button", name="Generate", exact=True).wait_for()
        return page

    yield opened
    for context in contexts:
        context.close()
    assert [text for text in complaints if EXPLAINED not in text] == []
    assert {url for url in addresses if not url.startswith((server.url, "data:", "blob:"))} == set()


@pytest.fixture
def page(open_page):
    return open_page()


@pytest.fixture
def keep_picture(tmp_path):
    """Writes a screenshot; into the folder of DUOMOTION_SCREENSHOTS where people look at them."""
    folder = Path(os.environ.get("DUOMOTION_SCREENSHOTS", tmp_path))

    def keep(page, name: str) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        page.screenshot(path=folder / f"studio-{name}.png")

    return keep


def generate(page, text: str = "two people dance", **fields: str) -> None:
    page.get_by_label(PROMPT).fill(text)
    for label, value in fields.items():
        page.get_by_label(label, exact=True).fill(value)
    page.get_by_role("button", name="Generate", exact=True).click()
    finished(page)


def finished(page) -> None:
    page.get_by_role("button", name="Generate", exact=True).and_(
        page.locator(":enabled")
    ).wait_for()
    page.get_by_role("region", name="Timeline").wait_for()


def drag(page, who: str, start: float, end: float) -> None:
    """Over a share of a person's track."""
    box = page.locator(f".track[data-who={who}]").bounding_box()
    y = box["y"] + box["height"] / 2
    page.mouse.move(box["x"] + start * box["width"], y)
    page.mouse.down()
    page.mouse.move(box["x"] + end * box["width"], y, steps=5)
    page.mouse.up()


def shown(page) -> str:
    """The name of the motion that downloads are about."""
    return re.search(r"(\w+)\.npz", page.get_by_role("link", name="npz").get_attribute("href"))[1]


def picture(page) -> np.ndarray:
    """(H, W, 3) of the people, without what stands over them."""
    page.wait_for_timeout(300)
    image = Image.open(io.BytesIO(page.locator("main").screenshot())).convert("RGB")
    return np.asarray(image, dtype=int)[:-90]


def seek(page, frame: int) -> None:
    page.get_by_role("slider", name="Frame").fill(str(frame))


def frame(page) -> int:
    return int(page.get_by_role("slider", name="Frame").input_value())


def moves(page) -> None:
    expect(page.get_by_role("slider", name="Frame")).not_to_have_js_property("value", "0")


def test_generates_and_plays(page, server, keep_picture):
    keep_picture(page, "empty")
    generate(page, "two people dance", **{"Length in seconds": "2", "Seed": "5"})
    assert server.asked == [
        (
            "generate",
            {"model": "puppets", "text": "two people dance", "seconds": 2, "seed": 5, "samples": 1},
        )
    ]
    assert "Read as “handshake”." in page.locator(".remarks").text_content()
    first = picture(page)
    red, _, blue = first.transpose(2, 0, 1)
    assert (red - blue > 60).sum() > 1000 and (blue - red > 60).sum() > 1000
    page.get_by_label("Speed").select_option("0.25")
    page.get_by_role("button", name="Play").click()
    moves(page)
    page.get_by_role("button", name="Pause").click()
    assert (np.abs(picture(page) - first).max(-1) > 60).sum() > 300
    keep_picture(page, "generated")


def test_plays_at_once_unless_people_want_less_motion(open_page):
    page = open_page(reduced_motion="no-preference")
    generate(page)
    moves(page)


def test_touching_joints_light_up_and_the_distance_is_shown(page, server):
    generate(page)
    motion = server.motions[shown(page)]
    elbows, wrists = (
        [SMPL22.index(f"{side}_{j}") for side in ("left", "right")] for j in ("elbow", "wrist")
    )
    hands = palms(motion.positions[..., elbows, :], motion.positions[..., wrists, :])
    points = np.concatenate([motion.positions, hands], axis=2)
    reach = np.array([REACH] * SMPL22.num_joints + [HAND_REACH] * len(HANDS))
    gaps = np.linalg.norm(points[0, :, :, None] - points[1, :, None], axis=-1)
    touches = (gaps <= TOUCH_DISTANCE + np.maximum(reach[:, None], reach)).any((1, 2))
    assert touches.any() and not touches.all()
    distance = page.locator(".distance")
    for now in (int(touches.argmax()), int((~touches).argmax())):
        seek(page, now)
        assert distance.text_content() == f"{gaps[now].min():.2f} m"
        assert ("touching" in distance.get_attribute("class")) == touches[now]
        red, green, blue = picture(page).transpose(2, 0, 1)
        yellow = (red > 200) & (green > 150) & (blue < 90)
        assert (yellow.sum() > 20) == touches[now]


def test_a_prompt_for_each_person(page, server):
    page.get_by_label("A prompt for each person").check()
    page.get_by_label("What does person B do?").fill("a person bows")
    generate(page, "a person waves")
    ((_, body),) = server.asked
    assert (body["text"], body["partner"]) == ("a person waves", "a person bows")


def test_prompts_in_a_row_become_stretches(page, server):
    page.get_by_role("button", name="Add what happens next").click()
    page.get_by_label("What happens next?").fill("they hug")
    page.get_by_label("Seconds of this prompt").nth(1).fill("1")
    generate(page, "two people meet")
    ((_, body),) = server.asked
    assert not {"text", "partner", "seconds", "contacts", "paths"} & body.keys()
    assert body["prompts"] == [
        {"text": "two people meet", "seconds": 2},
        {"text": "they hug", "seconds": 1},
    ]
    stretches = page.locator(".track[data-who=both] .stretch")
    assert stretches.all_text_contents() == ["two people meet", "they hug"]
    first, second = (stretch.bounding_box() for stretch in stretches.all())
    assert first["width"] / second["width"] == pytest.approx(2, rel=0.05)


def test_variants_side_by_side(page, server, keep_picture):
    generate(page, Variants="4")
    assert server.asked[0][1]["samples"] == 4
    assert page.locator(".cell").count() == 4
    keep_picture(page, "variants")
    first = shown(page)
    page.locator(".cell-label").nth(2).click()
    assert shown(page) != first
    page.get_by_role("button", name="Show this take alone").click()
    expect(page.locator(".cell")).to_have_count(1)
    assert "seed 2" in page.locator(".cell-label").text_content()


def test_two_models_on_one_prompt(page, server):
    page.get_by_label("Compare with").select_option("others")
    generate(page)
    assert sorted(body["model"] for _, body in server.asked) == ["others", "puppets"]
    assert page.locator(".cell").count() == 2
    labels = page.locator(".cell-label").all_text_contents()
    assert ["puppets" in labels[0], "others" in labels[1]] == [True, True]


def test_a_stretch_of_one_person_is_regenerated_and_that_undone(page, server, keep_picture):
    generate(page)
    before = shown(page)
    drag(page, "B", 0.25, 0.75)
    page.get_by_role("textbox", name="Edit").fill("B jumps")
    page.get_by_role("button", name="Regenerate the stretch").click()
    page.locator(".track[data-who=B] .stretch").wait_for()
    finished(page)
    keep_picture(page, "edited")
    kind, body = server.asked[1]
    assert (kind, body["motion"], body["person"], body["text"]) == (
        *("inpaint", {"id": before}, "B", "B jumps"),
    )
    assert body["start"] == pytest.approx(0.5, abs=0.06)
    assert body["end"] == pytest.approx(1.5, abs=0.06)
    after = shown(page)
    assert after != before
    page.get_by_role("button", name="Undo").click()
    expect(page.locator(".track[data-who=B] .stretch")).to_have_count(0)
    assert shown(page) == before
    page.get_by_role("button", name="Redo").click()
    page.locator(".track[data-who=B] .stretch").wait_for()
    assert shown(page) == after


def test_undo_says_where_the_server_forgot_a_motion(page, server):
    generate(page)
    first = shown(page)
    generate(page, Seed="1")
    second = shown(page)
    del server.motions[first]
    page.get_by_role("button", name="Undo").click()
    assert "gone" in page.get_by_role("alert").text_content()
    assert shown(page) == second


@pytest.mark.parametrize("kept, new", [("A", "B"), ("B", "A")])
def test_one_person_is_kept_and_the_other_made_anew(page, server, kept, new):
    generate(page)
    page.get_by_role("button", name=f"Keep {kept}, new {new}").click()
    page.locator(f".track[data-who={new}] .stretch").wait_for()
    kind, body = server.asked[1]
    assert (kind, body["person"], body["start"], body["end"]) == ("inpaint", new, 0, 2)
    assert body["text"] == "two people dance"


def test_extends_at_the_end(page, server):
    generate(page)
    page.get_by_label("Extend to, seconds").fill("3.5")
    page.get_by_role("button", name="Extend", exact=True).click()
    page.locator(".track[data-who=both] .stretch").nth(1).wait_for()
    kind, body = server.asked[1]
    assert (kind, body["seconds"], body["text"]) == ("extend", 3.5, "two people dance")
    assert "before" not in body
    assert server.motions[shown(page)].num_frames == 105
    assert page.get_by_role("slider", name="Frame").get_attribute("max") == "104"


def test_wishes_for_contacts_and_paths(page, server, keep_picture):
    page.get_by_text("More", exact=True).click()
    page.get_by_role("button", name="Add a touch").click()
    page.get_by_label("Joint of B").select_option("right_shoulder")
    page.get_by_label("Person whose path is drawn").select_option("B")
    page.locator(".floor-map").click(position={"x": 70, "y": 70})
    page.get_by_role("button", name="Add a point").click()
    page.get_by_label("Ahead, metres").nth(1).fill("2")
    keep_picture(page, "wishes")
    generate(page)
    ((_, body),) = server.asked
    (wish,) = body["contacts"]
    Contact((wish["first"], wish["second"]), wish["start"], wish["end"]).check(SMPL22, 2.0)
    assert (wish["first"], wish["second"]) == ("right_hand", "right_shoulder")
    (path,) = body["paths"]
    assert path["person"] == "B"
    assert path["points"][0][1] > 0 and path["points"][0][2] > 0  # up and left on the map
    assert path["points"][1][0] == 1 and path["points"][1][2] == 2


def test_a_number_out_of_range_is_shown_where_it_is(page, server):
    page.get_by_text("More", exact=True).click()
    page.get_by_label("Guidance").fill("1000")
    page.get_by_text("More", exact=True).click()
    page.get_by_label(PROMPT).fill("two people dance")
    page.get_by_role("button", name="Generate", exact=True).click()
    assert page.get_by_label("Guidance").is_visible()
    assert page.evaluate("document.activeElement.ariaLabel") == "Guidance"
    assert server.asked == []


def test_joints_to_choose_are_joints_of_the_skeleton(page):
    page.get_by_text("More", exact=True).click()
    page.get_by_role("button", name="Add a touch").click()
    names = page.get_by_label("Joint of A").evaluate("s => [...s.options].map((o) => o.value)")
    assert len(names) == len(set(names)) > 10
    assert set(names) <= {*SMPL22.names, *HANDS}


def test_what_a_model_cannot_do_is_not_offered(page):
    page.get_by_label("Model", exact=True).select_option("solo")
    page.get_by_text("More", exact=True).click()
    for name in ("Add a touch", "Add a point"):
        assert not page.get_by_role("button", name=name).is_visible()
    assert not page.get_by_label("A prompt for each person").is_visible()
    page.get_by_label("What do they do?").fill("a person walks")
    page.get_by_role("button", name="Generate", exact=True).click()
    finished(page)
    for name in ("Make person B", "Regenerate the stretch", "Extend"):
        assert not page.get_by_role("button", name=name, exact=True).is_visible()
    assert page.locator(".track").count() == 2


@pytest.mark.parametrize("suffix", ["bvh", "npz"])
def test_uploads_a_person_and_makes_the_partner(page, server, tmp_path, suffix):
    path = tmp_path / f"alone.{suffix}"
    puppets(1, 45).person(0).save(path)
    page.get_by_label("Motion file").set_input_files(path)
    finished(page)
    assert page.locator(".track[data-who=B]").count() == 0
    uploaded = shown(page)
    page.get_by_role("button", name="Make person B").click()
    page.locator(".track[data-who=B] .stretch").wait_for()
    kind, body = server.asked[0]
    assert (kind, body["person"], body["motion"]) == ("react", "A", {"id": uploaded})
    assert server.motions[shown(page)].num_people == 2


def test_a_bad_file_is_explained(page, tmp_path):
    path = tmp_path / "broken.bvh"
    path.write_text("HIERARCHY nonsense")
    page.get_by_label("Motion file").set_input_files(path)
    assert "broken.bvh" in page.get_by_role("alert").text_content()


def test_downloads_are_the_motion(page, server, tmp_path):
    generate(page)
    motion = server.motions[shown(page)]
    for format in ("BVH", "npz", "GLB", "mp4"):
        with page.expect_download() as download:
            page.get_by_role("link", name=format, exact=True).click()
        name = download.value.suggested_filename
        assert name == f"two-people-dance.{format.lower()}"
        download.value.save_as(tmp_path / name)
    loaded = Interaction.load(tmp_path / "two-people-dance.npz")
    np.testing.assert_allclose(loaded.positions, motion.positions, atol=1e-4)
    assert bvh.read([tmp_path / "two-people-dance.bvh"]).num_people == 2


def test_a_link_restores_prompt_model_seed_and_edits(page, open_page, server):
    page.get_by_label("Model", exact=True).select_option("others")
    generate(page, "two people waltz", Seed="3", Variants="2")
    page.locator(".cell-label").nth(1).click()
    drag(page, "A", 0.5, 0.9)
    page.get_by_role("button", name="Regenerate the stretch").click()
    page.locator(".track[data-who=A] .stretch").wait_for()
    finished(page)
    made = server.motions[shown(page)]
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    page.get_by_role("button", name="Copy a link").click()
    expect(page.locator(".remarks")).to_have_text("Link copied.")
    link = page.evaluate("navigator.clipboard.readText()")
    asked = [body for _, body in server.asked]
    server.asked.clear()

    other = open_page(link)
    other.locator(".track[data-who=A] .stretch").wait_for()
    finished(other)
    assert other.get_by_label(PROMPT).input_value() == "two people waltz"
    assert other.get_by_label("Model", exact=True).input_value() == "others"
    assert other.get_by_label("Seed", exact=True).input_value() == "3"
    again = [body for _, body in server.asked]
    assert again[0] == asked[0]
    assert [body | {"motion": 0} for body in again[1:]] == [asked[1] | {"motion": 0}]
    np.testing.assert_array_equal(server.motions[shown(other)].positions, made.positions)
    assert other.url == link == page.url


@pytest.mark.parametrize("tail", ["nonsense", "eyJwbGFucyI6W119", "%%%", "A" * 40_000])
def test_a_damaged_link_is_explained(open_page, server, tail):
    page = open_page(f"{server.url}#{tail}")
    assert "link is damaged" in page.get_by_role("alert").text_content()
    generate(page)
    assert not page.get_by_role("alert").is_visible()


def test_cancel_stops_the_work(page, server, keep_picture):
    page.get_by_label(PROMPT).fill("two people dance slowly")
    page.get_by_role("button", name="Generate", exact=True).click()
    expect(page.get_by_role("status")).to_contain_text("waiting, 2 ahead in the queue")
    expect(page.get_by_role("status")).to_contain_text("25 %")
    keep_picture(page, "progress")
    page.get_by_role("button", name="Cancel").click()
    assert page.get_by_role("alert").text_content() == "Cancelled."
    page.wait_for_timeout(200)
    assert list(server.jobs.values())[-1].state == "cancelled"
    generate(page)


@pytest.mark.parametrize(
    "text, said",
    [
        ("two people explode", "The model ran out of memory."),
        ("...", "The prompt has no words."),
        ("too much", "The server has too much to do; try again in 7 s."),
    ],
)
def test_what_went_wrong_is_said_in_plain_words(page, text, said):
    page.get_by_label(PROMPT).fill(text)
    page.get_by_role("button", name="Generate", exact=True).click()
    alert = page.get_by_role("alert")
    alert.wait_for()
    assert alert.text_content() == said
    generate(page)
    assert not alert.is_visible()


def test_connections_that_break_lose_nothing(page):
    generate(page, "two people are cut off")
    assert not page.get_by_role("alert").is_visible()


def test_a_server_that_is_gone_is_said(page):
    page.context.set_offline(True)
    page.get_by_label(PROMPT).fill("two people dance")
    page.get_by_role("button", name="Generate", exact=True).click()
    assert "can't be reached" in page.get_by_role("alert").text_content()
    page.context.set_offline(False)
    generate(page)


def test_the_note_of_a_prompt_outside_the_training_data_is_shown(page):
    generate(page, "two people juggle")
    assert "Nothing like this was in the training data." in page.locator(".remarks").text_content()


def test_an_example_fills_the_prompt(page):
    page.get_by_text("What the model has learned").click()
    page.get_by_role("button", name="two people shake hands").click()
    assert page.get_by_label(PROMPT).input_value() == "two people shake hands"


def test_a_service_with_a_key_asks_for_it_once(browser, keep_picture, tmp_path):
    with serving({"puppets": Puppets()}) as server:
        server.key = "secret"
        context = browser.new_context(accept_downloads=True)
        page = context.new_page()
        page.set_default_timeout(PATIENCE)
        page.goto(server.url)
        field = page.get_by_label("Key of this service")
        field.fill("guessed")
        keep_picture(page, "key")
        field.press("Enter")
        page.get_by_text("This is not the key.").wait_for()
        field.fill("secret")
        field.press("Enter")
        page.get_by_role("button", name="Generate", exact=True).wait_for()
        expect(field).to_have_count(0)
        generate(page)
        with page.expect_download() as download:
            page.get_by_role("link", name="BVH", exact=True).click()
        download.value.save_as(tmp_path / "made.bvh")
        assert Interaction.load(tmp_path / "made.bvh").num_people == 2
        page.reload()
        page.get_by_role("button", name="Generate", exact=True).wait_for()
        context.close()


def test_the_camera_follows(page, tmp_path):
    walk = standing(frames=60)
    roots = walk.root_positions.copy()
    roots[..., 0] += np.linspace(0, 4, 60)
    replace(walk, root_positions=roots).save(tmp_path / "walk.npz")
    page.get_by_label("Motion file").set_input_files(tmp_path / "walk.npz")
    finished(page)

    def middle() -> float:
        red, _, blue = picture(page).transpose(2, 0, 1)
        return float(np.nonzero(np.abs(red - blue) > 60)[1].mean())

    seek(page, 0)
    start = middle()
    seek(page, 59)
    assert abs(middle() - start) > 100
    seek(page, 0)
    page.get_by_role("button", name="Follow the people").click()
    seek(page, 59)
    assert abs(middle() - start) < 30


def test_keyboard_alone(page, server):
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.ariaLabel") == PROMPT
    page.keyboard.type("two people dance")
    page.keyboard.press("Control+Enter")
    page.get_by_role("region", name="Timeline").wait_for()
    finished(page)
    first = shown(page)
    page.keyboard.press("Escape")
    page.keyboard.press("ArrowRight")
    assert frame(page) == 1
    page.keyboard.press("Home")
    for _ in range(15):
        page.keyboard.press("ArrowRight")
    page.keyboard.press("i")
    for _ in range(30):
        page.keyboard.press("ArrowRight")
    page.keyboard.press("o")
    for _ in range(60):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.textContent") == "Regenerate the stretch":
            break
    page.keyboard.press("Enter")
    page.locator(".track[data-who=both] .stretch").nth(1).wait_for()
    finished(page)
    _, body = server.asked[1]
    assert (body["start"], body["end"]) == (0.5, 1.5)
    assert "person" not in body
    page.keyboard.press("Control+z")
    page.locator(f"[download$=npz][href*='/{first}.']").wait_for()
    page.keyboard.press("?")
    sheet = page.get_by_role("dialog", name="Keys")
    assert "The stretch begins here" in sheet.text_content()
    page.keyboard.press("Enter")
    assert not sheet.is_visible()
    page.keyboard.press("p")
    assert page.evaluate("document.activeElement.ariaLabel") == PROMPT


@pytest.mark.parametrize("width, height", [(320, 640), (844, 390)])
def test_phone(open_page, keep_picture, width, height):
    size = {"width": width, "height": height}
    page = open_page(viewport=size, has_touch=True, is_mobile=True)
    generate(page)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    outside = page.evaluate(
        """[...document.querySelectorAll("button, select, input, textarea, a")].filter((item) => {
            const { left, right, width } = item.getBoundingClientRect();
            return width && (left < 0 || right > innerWidth);
        }).map((item) => item.outerHTML)"""
    )
    assert outside == []
    assert page.locator("main").bounding_box()["height"] >= 200
    page.evaluate("scrollTo(0, 0)")
    keep_picture(page, f"phone-{width}")
    page.get_by_role("button", name="Play").tap()
    moves(page)
