// The 3D side of the player: light, ground, people, camera. Knows nothing of buttons.
import {
  AnimationMixer,
  Box3,
  Color,
  CylinderGeometry,
  DirectionalLight,
  DoubleSide,
  Group,
  HemisphereLight,
  InstancedMesh,
  Matrix4,
  Mesh,
  MeshStandardMaterial,
  PCFShadowMap,
  PerspectiveCamera,
  PlaneGeometry,
  Quaternion,
  Scene,
  ShaderMaterial,
  ShadowMaterial,
  SphereGeometry,
  Vector3,
  WebGLRenderer,
} from "three";
import { OrbitControls } from "three/addons/controls/OrbitControls.js";
import { GLTFLoader } from "three/addons/loaders/GLTFLoader.js";

const UP = new Vector3(0, 1, 0);
const JOINT_RADIUS = 0.02;
const BONE_RADIUS = 0.014;
const GRID_REACH = 9;

export async function createStage(canvas, bytes) {
  const gltf = await new GLTFLoader().parseAsync(bytes, "");
  const renderer = new WebGLRenderer({ canvas, antialias: true, alpha: true });
  renderer.setPixelRatio(Math.min(window.devicePixelRatio, 2));
  renderer.shadowMap.enabled = true;
  renderer.shadowMap.type = PCFShadowMap;

  const scene = new Scene();
  const people = collectPeople(gltf);
  scene.add(gltf.scene);
  people.forEach((person) => scene.add(person.skeleton));

  const [clip] = gltf.animations;
  const mixer = new AnimationMixer(gltf.scene);
  const action = mixer.clipAction(clip);
  action.play();
  const times = clip.tracks[0].times;

  function pose(seconds) {
    action.time = seconds;
    mixer.update(0);
    gltf.scene.updateMatrixWorld(true);
    people.forEach(placeBones);
  }

  const { bounds, side } = survey(people, pose, times);
  const lights = addLights(scene, bounds);
  const ground = addGround(scene, bounds);

  const camera = new PerspectiveCamera(30, 1, 0.05, 200);
  const controls = new OrbitControls(camera, canvas);
  controls.enableDamping = true;
  controls.dampingFactor = 0.12;
  controls.maxPolarAngle = Math.PI * 0.52;
  controls.minDistance = 0.6;
  controls.maxDistance = 60;

  // Share of the height that nothing covers.
  let free = 1;
  function frameAll() {
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

  let placed = false;
  // `top` and `bottom`: pixels that are covered there; the people are framed in what is left.
  function resize({ top, bottom }) {
    const { clientWidth: width, clientHeight: height } = canvas.parentElement;
    if (!width || !height) return;
    renderer.setSize(width, height, false);
    camera.aspect = width / height;
    free = Math.max(height - top - bottom, height / 4) / height;
    camera.setViewOffset(width, height, 0, (bottom - top) / 2, width, height);
    if (!placed) frameAll();
    placed = true;
  }

  function show(view) {
    for (const person of people) {
      person.skeleton.visible = person.visible && view !== "body";
      person.body.visible = person.visible && view !== "skeleton";
      person.body.material.transparent = view === "both";
      person.body.material.opacity = view === "both" ? 0.35 : 1;
      person.body.material.needsUpdate = true;
    }
  }

  function theme(dark) {
    ground.uniforms.ink.value.set(dark ? "#8b97ad" : "#8d97a8");
    lights.sky.intensity = dark ? 1.1 : 1.5;
    lights.sky.groundColor.set(dark ? "#3a3f4c" : "#b9b3ab");
    lights.shadow.opacity = dark ? 0.5 : 0.24;
  }

  function orbit(angle) {
    const away = camera.position.clone().sub(controls.target).applyAxisAngle(UP, angle);
    camera.position.copy(controls.target).add(away);
  }

  function dispose() {
    controls.dispose();
    renderer.dispose();
  }

  return {
    caption: gltf.asset.extras?.caption ?? "",
    fps: gltf.asset.extras?.fps ?? 30,
    numFrames: times.length,
    people,
    pose,
    frameAll,
    resize,
    show,
    theme,
    orbit,
    dispose,
    update: () => controls.update(),
    render: () => renderer.render(scene, camera),
    onCamera: (listener) => controls.addEventListener("change", listener),
  };
}

function collectPeople(gltf) {
  const people = [];
  gltf.scene.traverse((body) => {
    if (!body.isSkinnedMesh) return;
    body.castShadow = true;
    body.receiveShadow = true;
    // Bodies leave the bounds of their rest pose.
    body.frustumCulled = false;
    const bones = body.skeleton.bones;
    const name = (body.userData.name ?? body.name).replace(/^Body[ _]/, "");
    const colour = body.material.color;
    people.push({ name, body, bones, colour: colour.clone(), visible: true, ...rig(bones, colour) });
  });
  return people;
}

function rig(bones, colour) {
  const material = new MeshStandardMaterial({ color: colour, roughness: 0.5 });
  const links = bones.filter((bone) => bone.parent.isBone);
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
  return { skeleton, joints, sticks, links };
}

const placing = {
  from: new Vector3(),
  to: new Vector3(),
  along: new Vector3(),
  turn: new Quaternion(),
  size: new Vector3(),
  matrix: new Matrix4(),
};

function placeBones({ bones, links, joints, sticks }) {
  const { from, to, along, turn, size, matrix } = placing;
  bones.forEach((bone, index) => {
    joints.setMatrixAt(index, matrix.makeTranslation(to.setFromMatrixPosition(bone.matrixWorld)));
  });
  links.forEach((bone, index) => {
    from.setFromMatrixPosition(bone.parent.matrixWorld);
    to.setFromMatrixPosition(bone.matrixWorld);
    along.subVectors(to, from);
    const length = along.length();
    turn.setFromUnitVectors(UP, along.divideScalar(length || 1));
    sticks.setMatrixAt(index, matrix.compose(from, turn, size.set(1, length, 1)));
  });
  joints.instanceMatrix.needsUpdate = true;
  sticks.instanceMatrix.needsUpdate = true;
}

// The space that the whole clip takes, and the horizontal direction from which all people show.
function survey(people, pose, times) {
  const bounds = new Box3();
  const point = new Vector3();
  const between = new Vector3();
  let cosine = 0;
  let sine = 0;
  const step = Math.max(1, Math.floor(times.length / 60));
  for (let frame = 0; frame < times.length; frame += step) {
    pose(times[frame]);
    for (const { bones } of people) {
      for (const bone of bones) bounds.expandByPoint(point.setFromMatrixPosition(bone.matrixWorld));
    }
    if (people.length > 1) {
      const roots = people.map(({ bones }) => new Vector3().setFromMatrixPosition(bones[0].matrixWorld));
      const middle = roots.reduce((sum, root) => sum.add(root), new Vector3()).divideScalar(roots.length);
      for (const root of roots) {
        between.subVectors(root, middle);
        cosine += between.x ** 2 - between.z ** 2;
        sine += 2 * between.x * between.z;
      }
    } else {
      between.setFromMatrixColumn(people[0].bones[0].matrixWorld, 2);
      cosine -= between.x ** 2 - between.z ** 2;
      sine -= 2 * between.x * between.z;
    }
  }
  bounds.min.y = Math.min(bounds.min.y, 0);
  bounds.expandByPoint(point.copy(bounds.max).add(new Vector3(0.1, 0.2, 0.1)));
  bounds.expandByPoint(point.copy(bounds.min).sub(new Vector3(0.1, 0, 0.1)));
  // Lines have no sign: their mean direction comes from doubled angles.
  const angle = Math.atan2(sine, cosine) / 2;
  const side = new Vector3(-Math.sin(angle), 0, Math.cos(angle));
  if (people.length === 1) {
    pose(times[0]);
    if (side.dot(between.setFromMatrixColumn(people[0].bones[0].matrixWorld, 2)) < 0) side.negate();
    side.applyAxisAngle(UP, 0.35);
  } else if (side.z < 0) side.negate();
  return { bounds, side };
}

function* corners({ min, max }) {
  for (const x of [min.x, max.x]) {
    for (const y of [min.y, max.y]) for (const z of [min.z, max.z]) yield new Vector3(x, y, z);
  }
}

function addLights(scene, bounds) {
  const sky = new HemisphereLight("#f4f7ff", "#b9b3ab", 1.5);
  const centre = bounds.getCenter(new Vector3());
  const reach = bounds.getSize(new Vector3()).length() / 2 + 0.6;
  const key = new DirectionalLight("#fff4e6", 2.4);
  key.position.copy(centre).add(new Vector3(-0.4, 1.5, 0.5).multiplyScalar(reach * 2));
  key.target.position.copy(centre);
  key.castShadow = true;
  key.shadow.mapSize.set(1024, 1024);
  key.shadow.radius = 4;
  key.shadow.bias = -0.0004;
  key.shadow.normalBias = 0.02;
  const { camera } = key.shadow;
  camera.left = camera.bottom = -reach;
  camera.right = camera.top = reach;
  camera.near = reach * 0.5;
  camera.far = reach * 6;
  const rim = new DirectionalLight("#cfe0ff", 1.0);
  rim.position.copy(centre).add(new Vector3(0.8, 0.6, -1.2));
  rim.target.position.copy(centre);
  const shadow = new ShadowMaterial({ opacity: 0.24 });
  const floor = new Mesh(new PlaneGeometry(2 * reach, 2 * reach).rotateX(-Math.PI / 2), shadow);
  floor.receiveShadow = true;
  // Soles reach a little below the joints that stand on the ground.
  floor.position.set(centre.x, -0.015, centre.z);
  scene.add(sky, key, key.target, rim, rim.target, floor);
  return { sky, shadow };
}

function addGround(scene, bounds) {
  const centre = bounds.getCenter(new Vector3());
  const size = bounds.getSize(new Vector3());
  const reach = GRID_REACH + Math.max(size.x, size.z) / 2;
  const material = new ShaderMaterial({
    transparent: true,
    depthWrite: false,
    side: DoubleSide,
    uniforms: {
      ink: { value: new Color("#8d97a8") },
      centre: { value: centre },
      reach: { value: reach },
    },
    vertexShader: `
      varying vec3 place;
      void main() {
        vec4 world = modelMatrix * vec4(position, 1.0);
        place = world.xyz;
        gl_Position = projectionMatrix * viewMatrix * world;
      }`,
    fragmentShader: `
      uniform vec3 ink;
      uniform vec3 centre;
      uniform float reach;
      varying vec3 place;
      float lines(float spacing, float width) {
        vec2 at = place.xz / spacing;
        vec2 grain = fwidth(at);
        vec2 gap = abs(fract(at - 0.5) - 0.5);
        vec2 line = 1.0 - smoothstep(vec2(0.0), grain * width, gap);
        line *= clamp(0.35 / max(grain, vec2(1e-6)), 0.0, 1.0);
        return max(line.x, line.y);
      }
      void main() {
        float fade = 1.0 - smoothstep(0.15, 1.0, distance(place.xz, centre.xz) / reach);
        float strength = max(lines(1.0, 1.3) * 0.6, lines(0.25, 1.0) * 0.2);
        gl_FragColor = vec4(ink, strength * fade);
        #include <colorspace_fragment>
      }`,
  });
  const grid = new Mesh(new PlaneGeometry(2 * reach, 2 * reach).rotateX(-Math.PI / 2), material);
  grid.position.set(centre.x, -0.016, centre.z);
  scene.add(grid);
  return material;
}
