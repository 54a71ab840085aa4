// Light, the floor's grid, and the shadows on it.
import {
  Color,
  DirectionalLight,
  DoubleSide,
  HemisphereLight,
  InstancedMesh,
  Matrix4,
  Mesh,
  PlaneGeometry,
  ShaderMaterial,
  ShadowMaterial,
  Vector3,
  type Box3,
  type Scene,
} from "three";

const GRID_REACH = 9;
// Soles reach a little below the joints that stand on the ground.
const SHADOW_HEIGHT = -0.015;
const GRID_HEIGHT = -0.016;
// A joint below this height in metres darkens the floor under it, the more the lower it is.
const CONTACT_HEIGHT = 0.45;
const CONTACT_RADIUS = 0.17;

export interface Floor {
  theme: (dark: boolean) => void;
  // Puts the contact shadows under joints.
  shade: (joints: Vector3[]) => void;
}

export function addFloor(scene: Scene, bounds: Box3, numJoints: number): Floor {
  const lights = addLights(scene, bounds);
  const grid = addGrid(scene, bounds);
  const contact = addContactShadows(scene, numJoints);
  return {
    theme(dark) {
      grid.uniforms.ink!.value.set(dark ? "#8b97ad" : "#8d97a8");
      lights.sky.intensity = dark ? 1.1 : 1.5;
      lights.sky.groundColor.set(dark ? "#3a3f4c" : "#b9b3ab");
      lights.shadow.opacity = dark ? 0.5 : 0.24;
      contact.strength(dark ? 0.6 : 0.34);
    },
    shade: contact.shade,
  };
}

function addLights(scene: Scene, bounds: Box3): { sky: HemisphereLight; shadow: ShadowMaterial } {
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
  floor.position.set(centre.x, SHADOW_HEIGHT, centre.z);
  scene.add(sky, key, key.target, rim, rim.target, floor);
  return { sky, shadow };
}

function addContactShadows(scene: Scene, count: number) {
  const material = new ShaderMaterial({
    transparent: true,
    depthWrite: false,
    uniforms: { strength: { value: 0.34 } },
    vertexShader: `
      varying vec2 place;
      varying float near;
      void main() {
        place = position.xz;
        near = instanceMatrix[1][1];
        gl_Position = projectionMatrix * viewMatrix * instanceMatrix * vec4(position.x, 0.0, position.z, 1.0);
      }`,
    fragmentShader: `
      uniform float strength;
      varying vec2 place;
      varying float near;
      void main() {
        float rim = max(0.0, 1.0 - length(place));
        gl_FragColor = vec4(0.0, 0.0, 0.0, strength * near * near * rim * rim);
      }`,
  });
  const discs = new InstancedMesh(new PlaneGeometry(2, 2).rotateX(-Math.PI / 2), material, count);
  discs.frustumCulled = false;
  scene.add(discs);
  const matrix = new Matrix4();
  return {
    strength: (value: number) => (material.uniforms.strength!.value = value),
    shade(joints: Vector3[]) {
      joints.forEach(({ x, y, z }, index) => {
        const height = Math.max(y, 0) / CONTACT_HEIGHT;
        const radius = CONTACT_RADIUS * (1 + 2 * height);
        // The shader reads how near the floor a joint is from the scale along Y, which a disc has no use for.
        matrix.makeScale(radius, Math.max(0, 1 - height), radius).setPosition(x, SHADOW_HEIGHT + 0.001, z);
        discs.setMatrixAt(index, matrix);
      });
      discs.instanceMatrix.needsUpdate = true;
    },
  };
}

function addGrid(scene: Scene, bounds: Box3): ShaderMaterial {
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
  grid.position.set(centre.x, GRID_HEIGHT, centre.z);
  scene.add(grid);
  return material;
}
