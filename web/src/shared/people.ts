// The people of a .glb: bodies as they are in the file, skeletons of balls and sticks made for them.
import {
  CylinderGeometry,
  Group,
  InstancedMesh,
  Matrix4,
  MeshStandardMaterial,
  Quaternion,
  SphereGeometry,
  Vector3,
  type Bone,
  type Color,
  type Object3D,
  type SkinnedMesh,
} from "three";
import type { View } from "./playback";

const JOINT_RADIUS = 0.02;
const BONE_RADIUS = 0.014;
export const UP = new Vector3(0, 1, 0);

export interface Person {
  name: string;
  body: SkinnedMesh;
  material: MeshStandardMaterial;
  bones: Bone[];
  colour: Color;
  visible: boolean;
  skeleton: Group;
  place: () => void;
}

export function collectPeople(scene: Object3D): Person[] {
  const people: Person[] = [];
  scene.traverse((object) => {
    if (!("isSkinnedMesh" in object)) return;
    const body = object as SkinnedMesh;
    const material = body.material as MeshStandardMaterial;
    body.castShadow = true;
    body.receiveShadow = true;
    // Bodies leave the bounds of their rest pose.
    body.frustumCulled = false;
    const name = String(body.userData.name ?? body.name).replace(/^Body[ _]/, "");
    const { bones } = body.skeleton;
    const colour = material.color;
    people.push({ name, body, material, bones, colour: colour.clone(), visible: true, ...rig(bones, colour) });
  });
  return people;
}

export function show(people: Person[], view: View): void {
  for (const { skeleton, body, material, visible } of people) {
    skeleton.visible = visible && view !== "body";
    body.visible = visible && view !== "skeleton";
    material.transparent = view === "both";
    material.opacity = view === "both" ? 0.35 : 1;
    material.needsUpdate = true;
  }
}

function rig(bones: Bone[], color: Color): { skeleton: Group; place: () => void } {
  const material = new MeshStandardMaterial({ color, roughness: 0.5 });
  const links = bones.filter((bone) => bone.parent && "isBone" in bone.parent);
  const joints = new InstancedMesh(new SphereGeometry(JOINT_RADIUS, 16, 12), material, bones.length);
  const shape = new CylinderGeometry(BONE_RADIUS * 0.45, BONE_RADIUS, 1, 10).translate(0, 0.5, 0);
  const sticks = new InstancedMesh(shape, material, links.length);
  const skeleton = new Group();
  for (const part of [joints, sticks]) {
    part.castShadow = true;
    part.frustumCulled = false;
    skeleton.add(part);
  }
  skeleton.visible = false;

  const [from, to, along, size] = [new Vector3(), new Vector3(), new Vector3(), new Vector3()];
  const turn = new Quaternion();
  const matrix = new Matrix4();
  function place(): void {
    bones.forEach((bone, index) => {
      joints.setMatrixAt(index, matrix.makeTranslation(to.setFromMatrixPosition(bone.matrixWorld)));
    });
    links.forEach((bone, index) => {
      from.setFromMatrixPosition(bone.parent!.matrixWorld);
      to.setFromMatrixPosition(bone.matrixWorld);
      along.subVectors(to, from);
      const length = along.length();
      turn.setFromUnitVectors(UP, along.divideScalar(length || 1));
      sticks.setMatrixAt(index, matrix.compose(from, turn, size.set(1, length, 1)));
    });
    joints.instanceMatrix.needsUpdate = true;
    sticks.instanceMatrix.needsUpdate = true;
  }
  return { skeleton, place };
}
