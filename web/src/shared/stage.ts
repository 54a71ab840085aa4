// The 3D side of one motion: people, floor, camera. Knows nothing of buttons.
import {
  AnimationMixer,
  InstancedMesh,
  Matrix4,
  Mesh,
  MeshBasicMaterial,
  PerspectiveCamera,
  Scene,
  SphereGeometry,
  Vector3,
  type Box3,
  type Material,
} from "three";
import { OrbitControls } from "three/addons/controls/OrbitControls.js";
import { GLTFLoader } from "three/addons/loaders/GLTFLoader.js";
import { addFloor } from "./floor";
import { collectPeople, show, UP, type Person } from "./people";
import { record, type Recording } from "./recording";
import type { View } from "./playback";

const MAX_TOUCHES = 48;
const TOUCH_RADIUS = 0.045;
const TOUCH_COLOUR = "#ffc400";

// Pixels of the element's edges that are covered: the people are framed in what is left.
export interface Margins {
  top: number;
  bottom: number;
}

export interface Stage {
  element: HTMLElement;
  scene: Scene;
  camera: PerspectiveCamera;
  caption: string;
  fps: number;
  numFrames: number;
  people: Person[];
  recording: Recording;
  pose: (seconds: number) => void;
  show: (view: View) => void;
  // Whether joints that touch light up.
  showTouches: (on: boolean) => void;
  // Whether the camera goes where the people go.
  follow: (on: boolean) => void;
  theme: (dark: boolean) => void;
  frameAll: () => void;
  orbit: (angle: number) => void;
  resize: (margins: Margins) => void;
  update: () => void;
  onCamera: (listener: () => void) => void;
  dispose: () => void;
}

// `element` is what the camera is turned on; where it is, `Screen` draws the stage.
export async function createStage(element: HTMLElement, bytes: ArrayBuffer): Promise<Stage> {
  const gltf = await new GLTFLoader().parseAsync(bytes, "");
  const extras: { caption?: string; fps?: number } = gltf.asset.extras ?? {};
  const scene = new Scene();
  const people = collectPeople(gltf.scene);
  scene.add(gltf.scene, ...people.map(({ skeleton }) => skeleton));

  const clip = gltf.animations[0]!;
  const mixer = new AnimationMixer(gltf.scene);
  const action = mixer.clipAction(clip);
  action.play();
  const { times } = clip.tracks[0]!;
  const numFrames = times.length;
  const fps = extras.fps ?? 30;

  function move(seconds: number): void {
    action.time = Math.min(seconds, times[numFrames - 1]!);
    mixer.update(0);
    gltf.scene.updateMatrixWorld(true);
  }

  const recording = record(people, move, times);
  const { bounds, side } = recording;
  const floor = addFloor(scene, bounds, recording.joints[0]!.flat().length);
  const touches = addTouches(scene);
  const camera = new PerspectiveCamera(30, 1, 0.05, 200);
  const controls = new OrbitControls(camera, element);
  controls.enableDamping = true;
  controls.dampingFactor = 0.12;
  controls.maxPolarAngle = Math.PI * 0.52;
  controls.minDistance = 0.6;
  controls.maxDistance = 60;

  let following = false;
  const middle = new Vector3();
  function goAlong(joints: Vector3[][]): void {
    const before = middle.clone();
    middle.set(0, 0, 0);
    for (const [root] of joints) middle.addScaledVector(root!, 1 / joints.length);
    middle.y = 0;
    if (!following) return;
    const step = before.subVectors(middle, before);
    camera.position.add(step);
    controls.target.add(step);
  }

  function pose(seconds: number): void {
    move(seconds);
    people.forEach(({ place }) => place());
    const frame = Math.min(Math.round(seconds * fps), numFrames - 1);
    floor.shade(recording.joints[frame]!.flat());
    touches.place(recording.meetings[frame]!.touches);
    goAlong(recording.joints[frame]!);
  }

  // Share of the height that nothing covers.
  let free = 1;
  function frameAll(): void {
    const centre = bounds.getCenter(new Vector3());
    const back = side.clone().addScaledVector(UP, 0.26).normalize();
    const half = Math.tan((camera.fov * Math.PI) / 360);
    const tall = half * free * 0.97;
    const wide = half * camera.aspect * 0.9;
    const right = new Vector3().crossVectors(UP, back).normalize();
    const over = new Vector3().crossVectors(back, right);
    let distance = 0;
    for (const corner of corners(bounds)) {
      const p = corner.sub(centre);
      const reach = Math.max(Math.abs(p.dot(right)) / wide, Math.abs(p.dot(over)) / tall);
      distance = Math.max(distance, reach + p.dot(back));
    }
    camera.position.copy(centre).addScaledVector(back, distance);
    controls.target.copy(centre);
    controls.update();
  }

  let wasUpright: boolean | undefined;
  function resize({ top, bottom }: Margins): void {
    const { clientWidth: width, clientHeight: height } = element;
    if (!width || !height) return;
    camera.aspect = width / height;
    free = Math.max(height - top - bottom, height / 4) / height;
    camera.setViewOffset(width, height, 0, (bottom - top) / 2, width, height);
    const isUpright = height > width;
    if (isUpright !== wasUpright) frameAll();
    wasUpright = isUpright;
  }

  function orbit(angle: number): void {
    const away = camera.position.clone().sub(controls.target).applyAxisAngle(UP, angle);
    camera.position.copy(controls.target).add(away);
  }

  return {
    element,
    scene,
    camera,
    caption: extras.caption ?? "",
    fps,
    numFrames,
    people,
    recording,
    pose,
    show: (view) => show(people, view),
    showTouches: touches.show,
    follow: (on) => (following = on),
    theme: floor.theme,
    frameAll,
    orbit,
    resize,
    update: () => controls.update(),
    onCamera: (listener) => controls.addEventListener("change", listener),
    dispose() {
      controls.dispose();
      scene.traverse((object) => {
        if (!(object instanceof Mesh)) return;
        object.geometry.dispose();
        (object.material as Material).dispose();
      });
    },
  };
}

function addTouches(scene: Scene): { place: (touches: Vector3[]) => void; show: (on: boolean) => void } {
  const material = new MeshBasicMaterial({ color: TOUCH_COLOUR, transparent: true, opacity: 0.85, depthTest: false });
  const lights = new InstancedMesh(new SphereGeometry(TOUCH_RADIUS, 16, 12), material, MAX_TOUCHES);
  lights.frustumCulled = false;
  lights.renderOrder = 1;
  lights.visible = false;
  scene.add(lights);
  const matrix = new Matrix4();
  return {
    place(touches) {
      lights.count = Math.min(touches.length, MAX_TOUCHES);
      for (let index = 0; index < lights.count; index++) lights.setMatrixAt(index, matrix.makeTranslation(touches[index]!));
      lights.instanceMatrix.needsUpdate = true;
    },
    show: (on) => (lights.visible = on),
  };
}

function* corners({ min, max }: Box3): Generator<Vector3> {
  for (const x of [min.x, max.x]) {
    for (const y of [min.y, max.y]) for (const z of [min.z, max.z]) yield new Vector3(x, y, z);
  }
}
