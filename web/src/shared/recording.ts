// Where all joints are in all frames, and what follows from it: distance, touches, space, the side to look from.
import { Box3, Vector3 } from "three";
import { UP, type Person } from "./people";

// As in duomotion.body.constraints, motion.kinematics and formats.drawing, in metres: how far the skin is from the
// middle of a joint and of a palm, the palm from the wrist, and how near to the other's skin a middle touches.
const REACH = 0.1;
const HAND_REACH = 0.04;
const PALM = 0.09;
const TOUCH_DISTANCE = 0.1;

export interface Meeting {
  // Metres between the joints, or palms, of the two that are nearest; Infinity for one person.
  distance: number;
  // Places of joints that touch one of the other person.
  touches: Vector3[];
}

export interface Recording {
  // [frame][person][joint]
  joints: Vector3[][][];
  meetings: Meeting[];
  bounds: Box3;
  // The horizontal direction from which all people show.
  side: Vector3;
}

export function record(people: Person[], pose: (seconds: number) => void, times: ArrayLike<number>): Recording {
  const palms = people.map(({ bones }) => findPalms(bones.map(({ name }) => name)));
  const joints: Vector3[][][] = [];
  const forward: Vector3[] = [];
  const meetings: Meeting[] = [];
  for (let frame = 0; frame < times.length; frame++) {
    pose(times[frame]!);
    const now = people.map(({ bones }) => bones.map((bone) => new Vector3().setFromMatrixPosition(bone.matrixWorld)));
    joints.push(now);
    forward.push(new Vector3().setFromMatrixColumn(people[0]!.bones[0]!.matrixWorld, 2));
    meetings.push(meet(now.map((places, person) => points(places, palms[person]!))));
  }
  const bounds = new Box3();
  for (const place of joints.flat(2)) bounds.expandByPoint(place);
  bounds.min.y = Math.min(bounds.min.y, 0);
  bounds.min.sub(new Vector3(0.1, 0, 0.1));
  bounds.max.add(new Vector3(0.1, 0.2, 0.1));
  return { joints, meetings, bounds, side: sideOf(joints, forward) };
}

type Palm = [wrist: number, elbow: number];
type Point = [place: Vector3, reach: number];

function findPalms(names: string[]): Palm[] {
  const find = (name: string): number => names.findIndex((each) => each === name || each.startsWith(`${name}_`) && /^\d+$/.test(each.slice(name.length + 1)));
  return ["left", "right"]
    .map((side): Palm => [find(`${side}_wrist`), find(`${side}_elbow`)])
    .filter(([wrist, elbow]) => wrist >= 0 && elbow >= 0);
}

function points(places: Vector3[], palms: Palm[]): Point[] {
  const hands = palms.map(([wrist, elbow]): Point => {
    const ahead = places[wrist]!.clone().sub(places[elbow]!).setLength(PALM);
    return [ahead.add(places[wrist]!), HAND_REACH];
  });
  return [...places.map((place): Point => [place, REACH]), ...hands];
}

function meet([first, second]: Point[][]): Meeting {
  let nearest = Infinity;
  const touches = new Set<Vector3>();
  for (const [place, reach] of first ?? []) {
    for (const [other, otherReach] of second ?? []) {
      const distance = place.distanceTo(other);
      nearest = Math.min(nearest, distance);
      if (distance <= TOUCH_DISTANCE + Math.max(reach, otherReach)) touches.add(place).add(other);
    }
  }
  return { distance: nearest, touches: [...touches] };
}

function sideOf(joints: Vector3[][][], forward: Vector3[]): Vector3 {
  const several = joints[0]!.length > 1;
  const between = new Vector3();
  let cosine = 0;
  let sine = 0;
  joints.forEach((people, frame) => {
    const roots = people.map((places) => places[0]!);
    const middle = roots.reduce((sum, root) => sum.add(root), new Vector3()).divideScalar(roots.length);
    // One person is seen from ahead, so the line across is what counts.
    const lines = several ? roots.map((root) => between.subVectors(root, middle).clone()) : [across(forward[frame]!)];
    for (const { x, z } of lines) {
      cosine += x ** 2 - z ** 2;
      sine += 2 * x * z;
    }
  });
  // Lines have no sign: their mean direction comes from doubled angles.
  const angle = Math.atan2(sine, cosine) / 2;
  const side = new Vector3(-Math.sin(angle), 0, Math.cos(angle));
  if (several ? side.z < 0 : side.dot(forward[0]!) < 0) side.negate();
  return several ? side : side.applyAxisAngle(UP, 0.35);
}

function across(forward: Vector3): Vector3 {
  return new Vector3(-forward.z, 0, forward.x);
}
